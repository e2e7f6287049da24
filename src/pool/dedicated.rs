//! Connections that one client has to itself, because they logged in with
//! start-up parameters of its own (replication). They count in the pool's
//! ceiling, wait in its queue, and are closed, never handed on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::generation::Generation;
use super::login::FailedLogin;
use super::replication::{Known, Turn};
use super::slots::{Slot, Use};
use super::{CheckoutError, Lease, Pool, Quota};
use crate::upstream::{ConnectError, Wishes};

/// Why a client got no connection of its own.
#[derive(Debug, thiserror::Error)]
pub enum DedicatedError {
    #[error("{0}")]
    Checkout(#[from] CheckoutError),
    /// The credential is good, so the cause is what the client asked for.
    #[error("{0}")]
    Login(ConnectError),
    /// The client was refused so often lately that the server is not asked again yet.
    #[error("refused too often")]
    TooOften,
}

impl From<Known> for DedicatedError {
    fn from(known: Known) -> Self {
        match known {
            Known::Refused(error) => Self::Login(error),
            Known::TooOften => Self::TooOften,
        }
    }
}

/// The pause before a refusal that is known without asking the server.
const PAUSE: Duration = Duration::from_millis(250);

/// Refuses after a pause, so that a client that tries again at once is not faster than
/// one that waits.
async fn refused_again(known: Known) -> DedicatedError {
    sleep(PAUSE).await;
    known.into()
}

/// Logins with a password: a credential may be replaced between a checkout and the
/// login, and once more.
const ATTEMPTS: usize = 3;

impl Pool {
    /// Logs in with the version in force, and with the start-up parameters that this
    /// client asks for. `quota`: that of its rule.
    ///
    /// # Errors
    /// [`DedicatedError`]; after three times `pool_wait_timeout` and
    /// `connect_timeout` at the latest.
    pub async fn dedicated(
        self: &Arc<Self>,
        quota: &Quota,
        client: &Arc<str>,
        wishes: Wishes,
    ) -> Result<Lease, DedicatedError> {
        let permit = self.permit(quota).await?;
        if let Some(known) = self.known(client, &wishes) {
            return Err(refused_again(known).await);
        }
        let limit = self.database().pool_wait_timeout;
        let turn = timeout(limit, self.starts.turn(client)).await;
        let turn = turn.map_err(|_| CheckoutError::Timeout)?;
        let turn = turn.ok_or(CheckoutError::Shut)?;
        // The start before this one may have been refused meanwhile.
        if let Some(known) = self.known(client, &wishes) {
            drop(turn);
            return Err(refused_again(known).await);
        }
        let (pool, client) = (self.clone(), client.clone());
        let (sender, receiver) = oneshot::channel();
        // A task of its own: a slot must not be lost with a client that leaves.
        tokio::spawn(async move {
            let opened = pool
                .open_dedicated(&client, &wishes, turn, || sender.is_closed())
                .await;
            // Dropping a lease that nobody waits for closes its connection.
            let _ = sender.send(opened);
        });
        let opened = receiver.await.unwrap_or(Err(CheckoutError::Shut.into()));
        opened.map(|mut lease| {
            lease.hold(permit);
            lease
        })
    }

    fn known(&self, client: &Arc<str>, wishes: &Wishes) -> Option<Known> {
        let generation = self.state().current.as_ref().map(|g| g.number);
        let (kind, now) = (wishes.replication, Instant::now());
        self.starts.known(client, kind, generation, now)
    }

    async fn open_dedicated(
        self: &Arc<Self>,
        client: &Arc<str>,
        wishes: &Wishes,
        _turn: Turn,
        has_left: impl Fn() -> bool,
    ) -> Result<Lease, DedicatedError> {
        let mut attempt = 1;
        loop {
            let (generation, slot) = match self.free_slot() {
                Some(free) => free,
                None => self.empty_slot().await?,
            };
            if has_left() {
                self.release_slot(&mut self.state(), slot);
                return Err(CheckoutError::Shut.into());
            }
            let FailedLogin { error, slot } = match self.login_with(&generation, wishes, slot).await
            {
                Ok(connection) => {
                    let lease = self.state().lease(self, connection);
                    return Ok(lease.dedicated());
                }
                Err(failed) => failed,
            };
            // A wrong password is likely to be wrong for everybody, because of a rotation.
            // Only an ordinary login can tell, since pg_hba.conf may have lines for
            // replication alone. Any other refusal concerns replication only; if the
            // credential is no good, the next ordinary login shows it.
            if error.sqlstate() == "28P01" {
                let ordinary = self.login(&generation, slot).await;
                let mut state = self.state();
                match ordinary {
                    Ok(connection) => self.put(&mut state, connection),
                    Err(ordinary) => {
                        if attempt < ATTEMPTS {
                            self.login_failed(&mut state, &generation, &ordinary.error);
                        }
                        self.release_slot(&mut state, ordinary.slot);
                        if attempt < ATTEMPTS {
                            attempt += 1;
                            continue;
                        }
                    }
                }
            } else if error.may_pass() && error.sqlstate() != "53300" && attempt < ATTEMPTS {
                // The server lets nobody in, and is waited for in the queue. (53300 may mean
                // that there is no room for more replication alone.)
                let mut state = self.state();
                self.login_failed(&mut state, &generation, &error);
                self.release_slot(&mut state, slot);
                attempt += 1;
                continue;
            } else {
                self.release_slot(&mut self.state(), slot);
            }
            if matches!(error, ConnectError::Refused { .. }) {
                let (kind, number) = (wishes.replication, generation.number);
                self.starts
                    .refused(client, kind, number, &error, Instant::now());
            }
            return Err(DedicatedError::Login(error));
        }
    }

    /// A slot that is free, while logins work and nobody waits: no connection has to
    /// make room then.
    fn free_slot(self: &Arc<Self>) -> Option<(Arc<Generation>, Slot)> {
        let mut state = self.state();
        let calm = state.search.is_good()
            && !state.lingering
            && !Self::is_unproven(&state)
            && state.slot_wanted.is_none()
            && state.waiting() == 0;
        if !calm || state.slots.taken() >= self.size(&state) || !self.may_open(&state) {
            return None;
        }
        let generation = state.current.clone()?;
        Some((generation, state.slots.take(Use::Opening)))
    }

    /// The slot of a connection that is leased like any other, and closed.
    async fn empty_slot(self: &Arc<Self>) -> Result<(Arc<Generation>, Slot), CheckoutError> {
        let lease = self.checkout(None).await?;
        let leased_of = lease.generation.clone();
        let Some(mut connection) = lease.into_connection() else {
            return Err(CheckoutError::Shut);
        };
        self.state().slots.turn(&mut connection.slot, Use::Closing);
        let mut slot = self.close(connection, "replaced").await;
        let mut state = self.state();
        state.slots.turn(&mut slot, Use::Opening);
        Ok((state.current.clone().unwrap_or(leased_of), slot))
    }
}
