//! Connections that one client has to itself, because they logged in with
//! start-up parameters of its own (replication). They count in the pool's
//! ceiling, wait in its queue, and are closed, never handed on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::generation::Generation;
use super::replication::{Known, Turn};
use super::state::Health;
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
    /// It was refused so often lately that the server is not asked again yet.
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

/// Before a refusal from memory.
const PAUSE: Duration = Duration::from_millis(250);

/// What is known is said after a pause: whoever tries again at once is not to be quicker
/// for it.
async fn refused_again(known: Known) -> DedicatedError {
    sleep(PAUSE).await;
    known.into()
}

/// A credential may be replaced between a checkout and the login; and once more.
const ATTEMPTS: usize = 3;

impl Pool {
    /// Logs in with the version in force, and with what this client wishes for.
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
        let limit = self.database.pool_wait_timeout;
        let turn = timeout(limit, self.starts.turn(client)).await;
        let turn = turn.map_err(|_| CheckoutError::Timeout)?;
        let turn = turn.ok_or(CheckoutError::Shut)?;
        // The one before may have been refused meanwhile.
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
            let generation = match self.free_slot() {
                Some(generation) => generation,
                None => self.empty_slot().await?,
            };
            if has_left() {
                let mut state = self.state();
                state.opening -= 1;
                self.release_slot(&mut state);
                return Err(CheckoutError::Shut.into());
            }
            let error = match self.login_with(&generation, wishes).await {
                Ok(connection) => {
                    let mut state = self.state();
                    state.opening -= 1;
                    state.leased += 1;
                    return Ok(Lease::dedicated(self.clone(), connection));
                }
                Err(error) => error,
            };
            // A password that is wrong is likely to be so for everybody, and a rotation
            // the cause; only an ordinary login can tell, since pg_hba.conf has lines
            // for replication alone. Whatever else is refused is refused to replication,
            // and a credential that is no good shows with the next ordinary login.
            let ordinary = match error.sqlstate() {
                "28P01" => Some(self.login(&generation).await),
                _ => None,
            };
            let mut state = self.state();
            state.opening -= 1;
            match ordinary {
                Some(Err(other)) if attempt < ATTEMPTS => {
                    self.login_failed(&mut state, &generation, &other);
                    self.release_slot(&mut state);
                    attempt += 1;
                    continue;
                }
                Some(Ok(connection)) => self.put(&mut state, connection),
                _ => self.release_slot(&mut state),
            }
            drop(state);
            if matches!(error, ConnectError::Refused { .. }) {
                let (kind, number) = (wishes.replication, generation.number);
                self.starts
                    .refused(client, kind, number, &error, Instant::now());
            }
            return Err(DedicatedError::Login(error));
        }
    }

    /// A slot that nobody has, while logins work and nobody waits; counted among those
    /// that are being opened. No connection has to make room then.
    fn free_slot(self: &Arc<Self>) -> Option<Arc<Generation>> {
        let mut state = self.state();
        let calm = matches!(state.health, Health::Good)
            && !state.lingering
            && state.slot_wanted.is_none()
            && state.waiting() == 0;
        if !calm || state.open >= self.database.pool_size || !self.may_open(&state) {
            return None;
        }
        let generation = state.current.clone()?;
        state.open += 1;
        state.opening += 1;
        Some(generation)
    }

    /// A slot in which to log in, come by like any other lease; counted among
    /// those that are being opened.
    async fn empty_slot(self: &Arc<Self>) -> Result<Arc<Generation>, CheckoutError> {
        let lease = self.checkout(None).await?;
        let leased_of = lease.generation.clone();
        let Some(connection) = lease.into_connection() else {
            return Err(CheckoutError::Shut);
        };
        {
            let mut state = self.state();
            state.leased -= 1;
            state.closing += 1;
        }
        self.close(connection, "replaced").await;
        let mut state = self.state();
        state.closing -= 1;
        state.opening += 1;
        Ok(state.current.clone().unwrap_or(leased_of))
    }
}
