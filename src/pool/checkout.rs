//! Getting a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::debug;

use super::connection::Proven;
use super::outage::Prospect;
use super::queue::Waiter;
use super::state::State;
use super::{Connection, Lease, Permit, Pool, Quota};
use crate::secret::SecretId;
use crate::wire::LoginFailure;

/// Why a client got no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckoutError {
    #[error("no server connection became free within pool_wait_timeout")]
    Timeout,
    #[error("{0} clients wait for a server connection already")]
    TooManyWaiting(usize),
    /// No login works, for a reason that has nothing to do with the credential.
    #[error("the database server {0}")]
    Login(LoginFailure),
    /// The text is the reason why the version that was tried last does not log in.
    #[error("no version of secret \"{0}\" logs in")]
    NoWorkingVersion(SecretId, Option<LoginFailure>),
    #[error("secret \"{0}\" cannot be read or is no credential")]
    SecretUnusable(SecretId),
    #[error("an administrator has paused the database")]
    Paused,
    #[error("the pool is shutting down")]
    Shut,
}

/// An idle connection that was taken for a client.
enum Lent {
    Ready(Lease),
    /// The server may have closed the connection: it has to be tried first.
    Doubtful(Lease),
    /// Another client has used the connection: it has to be cleaned first.
    Foreign(Lease),
}

impl Pool {
    /// Takes a connection if one is free this instant, nobody waits, and nothing has to be asked on
    /// the connection first. `client`: the identity it is for; `quota`: that of its rule.
    pub fn try_checkout(self: &Arc<Self>, client: &Arc<str>, quota: &Quota) -> Option<Lease> {
        let permit = quota.try_acquire()?;
        let mut state = self.state();
        if !state.waiters.is_empty() || state.shut {
            return None;
        }
        let at = state.idle.iter().rposition(|c| self.suits(c, client))?;
        if self.is_doubtful(&state, &state.idle[at]) {
            return None; // somebody has to wait for its answer
        }
        let proven = self.remove_alive(&mut state, at)?;
        let mut lease = self.lend(&mut state, proven, Some(client));
        lease.hold(permit);
        Some(lease)
    }

    /// Whether a client may use a connection as it is.
    pub(super) fn suits(&self, connection: &Connection, client: &Arc<str>) -> bool {
        match &connection.owner {
            Some(owner) if self.database().reset_between_clients => owner.is(client),
            _ => true,
        }
    }

    /// Lends a connection at once. `client`: the identity it is for.
    fn lend(
        self: &Arc<Self>,
        state: &mut State,
        mut proven: Proven,
        client: Option<&Arc<str>>,
    ) -> Lease {
        if let Some(client) = client {
            proven.owner.get_or_insert_with(|| state.shares.own(client));
        }
        self.stats.immediate.fetch_add(1, Relaxed);
        state.lease(self, proven)
    }

    /// Takes an idle connection: the one used last that the client may use as it
    /// is, or else the one idle for longest, to be cleaned.
    fn take_idle(self: &Arc<Self>, state: &mut State, client: Option<&Arc<str>>) -> Option<Lent> {
        if !state.waiters.is_empty() || state.shut {
            return None;
        }
        loop {
            let own = match client {
                Some(client) => state.idle.iter().rposition(|c| self.suits(c, client)),
                None => state.idle.len().checked_sub(1),
            };
            let at = own.or_else(|| (!state.idle.is_empty()).then_some(0))?;
            let Some(proven) = self.remove_alive(state, at) else {
                continue;
            };
            let (doubtful, foreign) = (self.is_doubtful(state, &proven), own.is_none());
            if foreign {
                // Where there is room, each identity gets a share of its own.
                if let Some(generation) = state.current.clone()
                    && state.search.is_good()
                    && state.slots.opening() == 0
                    && self.may_open(state)
                {
                    self.start_opening(state, generation);
                }
            }
            let lease = self.lend(state, proven, client);
            return Some(match (foreign, doubtful) {
                (true, _) => Lent::Foreign(lease),
                (false, true) => Lent::Doubtful(lease),
                (false, false) => Lent::Ready(lease),
            });
        }
    }

    /// Whether a connection was idle for so long that it has to be tried before it
    /// is used: a network that drops packets in silence gives no sign.
    pub(super) fn is_stale(&self, connection: &Connection) -> bool {
        let delay = self.database().server_check_delay.as_secs();
        delay > 0 && self.seconds().saturating_sub(connection.idle_since) > delay
    }

    /// Whether an idle connection has to be tried before it is used.
    fn is_doubtful(&self, state: &State, connection: &Connection) -> bool {
        self.is_stale(connection) || state.suspects(connection)
    }

    /// Takes an idle connection out of the list, if it is still alive.
    fn remove_alive(self: &Arc<Self>, state: &mut State, at: usize) -> Option<Proven> {
        let mut connection = state.idle.remove(at);
        if connection.is_alive() {
            return Some(connection);
        }
        debug!(database = %self.name, pid = %connection.backend().pid, "the server closed an idle connection");
        state.hung_up = Some(Instant::now());
        self.retire(state, connection);
        None
    }

    /// Waits for a connection, first come, first served, within the quota of the
    /// client's rule. `client`: the identity it is for.
    ///
    /// # Errors
    /// [`CheckoutError`]; after `pool_wait_timeout` at the latest.
    pub async fn checkout_within(
        self: &Arc<Self>,
        quota: &Quota,
        client: &Arc<str>,
    ) -> Result<Lease, CheckoutError> {
        let began = Instant::now();
        let permit = self.permit(quota).await?;
        let mut lease = self.checkout_since(began, Some(client)).await?;
        lease.hold(permit);
        Ok(lease)
    }

    /// Waits for a place in a quota, no longer than `pool_wait_timeout`.
    pub(super) async fn permit(&self, quota: &Quota) -> Result<Permit, CheckoutError> {
        let limit = self.database().pool_wait_timeout;
        let permit = timeout(limit, quota.acquire()).await;
        permit.map_err(|_| CheckoutError::Timeout)
    }

    /// Waits for a connection that no quota counts. `client`: the identity it is
    /// for; `None` where no client will speak there.
    ///
    /// # Errors
    /// [`CheckoutError`]; after `pool_wait_timeout` at the latest.
    pub async fn checkout(
        self: &Arc<Self>,
        client: Option<&Arc<str>>,
    ) -> Result<Lease, CheckoutError> {
        self.checkout_since(Instant::now(), client).await
    }

    /// [`Pool::checkout`] for a client that has waited for something else since
    /// `began`.
    async fn checkout_since(
        self: &Arc<Self>,
        began: Instant,
        client: Option<&Arc<str>>,
    ) -> Result<Lease, CheckoutError> {
        loop {
            // Boxed, because these futures are rare and large, and a client that
            // waits is to be small.
            let lease = match self.take_or_wait(began, client).await? {
                Lent::Ready(lease) => return Ok(lease),
                Lent::Doubtful(lease) => Box::pin(self.try_out(lease)).await,
                Lent::Foreign(lease) => Box::pin(self.clean_for(lease, &client.cloned())).await,
            };
            if let Some(lease) = lease {
                return Ok(lease);
            }
        }
    }

    async fn take_or_wait(
        self: &Arc<Self>,
        began: Instant,
        client: Option<&Arc<str>>,
    ) -> Result<Lent, CheckoutError> {
        let delivery = {
            let mut state = self.state();
            // Under the same lock as the entry into the queue: a connection that
            // came back in between would lie idle while we wait beside it.
            if let Some(lent) = self.take_idle(&mut state, client) {
                return Ok(lent);
            }
            if state.shut || state.lingering {
                return Err(CheckoutError::Shut);
            }
            self.look_again_for(&mut state);
            if let Prospect::Hopeless(error) = self.prospect(&state) {
                return Err(error);
            }
            let most = self.database().max_waiting;
            if client.is_some() && state.waiters.len() >= most && state.waiting() >= most {
                return Err(CheckoutError::TooManyWaiting(most));
            }
            let (sender, delivery) = oneshot::channel();
            state.waiters.push_back(Waiter {
                delivery: sender,
                since: began,
                client: self.line_of(client),
            });
            self.asked.notify_waiters();
            self.open_for_waiters(&mut state);
            delivery
        };
        let rest = self
            .database()
            .pool_wait_timeout
            .saturating_sub(began.elapsed());
        let result = timeout(rest, delivery).await;
        let waited = began.elapsed();
        self.metrics.checkout.record(waited.as_secs_f64());
        let waited = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.stats.waited.fetch_add(waited, Relaxed);
        match result {
            Ok(Ok(delivery)) => delivery.map(Lent::Ready),
            Ok(Err(_)) => Err(CheckoutError::Shut),
            Err(_) if self.is_paused() => Err(CheckoutError::Paused),
            Err(_) => Err(self.waited_too_long()),
        }
    }
}
