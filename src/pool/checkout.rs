//! Getting a connection, and giving it back.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::debug;

use super::generation::Generation;
use super::state::{Health, State, Waiter};
use super::{Connection, Lease, Pool};
use crate::config::SessionAttrs;
use crate::secret::SecretId;
use crate::wire::message;

/// Why a client got no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckoutError {
    #[error("no server connection became free within pool_wait_timeout")]
    Timeout,
    #[error("the database server cannot be reached")]
    Down,
    /// SQLSTATE of a refusal that has nothing to do with the credential.
    #[error("the database server refused the connection ({0})")]
    Refused(Arc<str>),
    #[error("no version of secret \"{0}\" logs in")]
    NoWorkingVersion(SecretId),
    #[error("secret \"{0}\" cannot be read or is no credential")]
    SecretUnusable(SecretId),
    #[error("the pool is shutting down")]
    Shut,
}

/// How long a connection that was idle may take to answer.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a new generation takes over one connection at a time.
const GENTLE: Duration = Duration::from_secs(1);

/// A connection that a client may have.
enum Lent {
    Proven(Lease),
    /// It was idle for longer than `server_check_delay`.
    Stale(Lease),
}

impl Pool {
    /// A connection if one is free this instant and nobody is before us.
    pub fn try_checkout(self: &Arc<Self>) -> Option<Lease> {
        let mut state = self.state();
        if state.idle.last().is_some_and(|c| self.is_stale(c)) {
            return None; // it has to be tried first
        }
        self.take_idle(&mut state)
    }

    fn take_idle(self: &Arc<Self>, state: &mut State) -> Option<Lease> {
        if !state.waiters.is_empty() || state.shut {
            return None;
        }
        let connection = self.pop_quiet(state)?;
        state.leased += 1;
        self.stats.immediate.fetch_add(1, Relaxed);
        Some(Lease::new(self.clone(), connection))
    }

    /// Whether it was idle for so long that it has to be tried before it is
    /// used: a network that drops packets in silence gives no sign.
    fn is_stale(&self, connection: &Connection) -> bool {
        let delay = self.database.server_check_delay.as_secs();
        delay > 0 && self.seconds().saturating_sub(connection.idle_since) > delay
    }

    /// One round trip on a connection that was idle for long. Where there is no
    /// answer, the others like it are given up as well.
    async fn try_out(self: &Arc<Self>, mut lease: Lease) -> Option<Lease> {
        let mut query = Vec::new();
        message::query(&mut query, "");
        lease.dirty = true;
        lease.prepared.unnamed = None; // a simple query drops it
        let limit = CHECK_TIMEOUT.min(self.database.connect_timeout);
        let answer = timeout(limit, lease.server.run(&query, 1)).await;
        if matches!(answer, Ok(Ok(_))) {
            lease.dirty = false;
            return Some(lease);
        }
        debug!(database = %self.database.name, pid = %lease.server.backend.pid, "an idle connection does not answer");
        let mut state = self.state();
        let (stale, good) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(|c| self.is_stale(c));
        state.idle = good;
        let stale: Vec<Box<Connection>> = stale;
        for connection in stale {
            self.retire(&mut state, connection);
        }
        None
    }

    /// The hottest idle connection that is still alive.
    fn pop_quiet(self: &Arc<Self>, state: &mut State) -> Option<Box<Connection>> {
        loop {
            let mut connection = state.idle.pop()?;
            if connection.server.stream.is_quiet() {
                return Some(connection);
            }
            debug!(database = %self.database.name, pid = %connection.server.backend.pid, "the server closed an idle connection");
            self.retire(state, connection);
        }
    }

    /// A connection, after those who came before.
    ///
    /// # Errors
    /// [`CheckoutError`]; after `pool_wait_timeout` at the latest.
    pub async fn checkout(self: &Arc<Self>) -> Result<Lease, CheckoutError> {
        self.checkout_since(Instant::now()).await
    }

    /// The same for a client that waits since `began`, be it for something else.
    ///
    /// # Errors
    /// As [`Pool::checkout`].
    pub async fn checkout_since(self: &Arc<Self>, began: Instant) -> Result<Lease, CheckoutError> {
        loop {
            let lease = match self.take_or_wait(began).await? {
                Lent::Proven(lease) => return Ok(lease),
                Lent::Stale(lease) => lease,
            };
            // Rare, and large: whoever waits is to be small.
            if let Some(lease) = Box::pin(self.try_out(lease)).await {
                return Ok(lease);
            }
        }
    }

    async fn take_or_wait(self: &Arc<Self>, began: Instant) -> Result<Lent, CheckoutError> {
        let delivery = {
            let mut state = self.state();
            // Under the lock under which we queue: a connection that came back
            // in between would lie idle with us waiting beside it.
            if let Some(lease) = self.take_idle(&mut state) {
                return Ok(if self.is_stale(&lease) {
                    Lent::Stale(lease)
                } else {
                    Lent::Proven(lease)
                });
            }
            if state.shut {
                return Err(CheckoutError::Shut);
            }
            if let Some(error) = self.hopeless(&state) {
                return Err(error);
            }
            let (sender, delivery) = oneshot::channel();
            state.waiters.push_back(Waiter {
                delivery: sender,
                since: began,
            });
            self.open_for_waiters(&mut state);
            delivery
        };
        let rest = self
            .database
            .pool_wait_timeout
            .saturating_sub(began.elapsed());
        let result = timeout(rest, delivery).await;
        self.metrics.checkout.record(began.elapsed().as_secs_f64());
        match result {
            Ok(Ok(delivery)) => delivery.map(Lent::Proven),
            Ok(Err(_)) => Err(CheckoutError::Shut),
            Err(_) => Err(CheckoutError::Timeout),
        }
    }

    /// Where there is neither a connection nor a prospect of one, waiting
    /// would only hide the cause.
    fn hopeless(&self, state: &State) -> Option<CheckoutError> {
        match &state.health {
            Health::Seeking { since, .. }
                if state.leased == 0 && since.elapsed() > self.database.rotation_grace =>
            {
                Some(self.seek_error())
            }
            Health::Down {
                cause, waits_until, ..
            } if state.leased == 0 && *waits_until <= Instant::now() => Some(cause.clone()),
            _ => None,
        }
    }

    pub(super) fn seek_error(&self) -> CheckoutError {
        if self.follower.known().current.is_none() {
            CheckoutError::SecretUnusable(self.secret.clone())
        } else {
            CheckoutError::NoWorkingVersion(self.secret.clone())
        }
    }

    /// A clean connection comes back from a client, or is new.
    pub(super) fn give_back(self: &Arc<Self>, connection: Box<Connection>) {
        if connection.server.backend.has_cancel_in_flight() {
            let pool = self.clone();
            tokio::spawn(async move {
                connection.server.backend.cancels_landed().await;
                pool.give_back(connection);
            });
            return;
        }
        let mut state = self.state();
        state.leased -= 1;
        self.put(&mut state, connection);
    }

    /// Hands a clean connection to whoever needs it most: the prober, the
    /// first waiter, or the idle list; or retires it.
    pub(super) fn put(self: &Arc<Self>, state: &mut State, mut connection: Box<Connection>) {
        if state.shut {
            return self.retire(state, connection);
        }
        if let Some(prober) = state.slot_wanted.take() {
            return self.hand_over_slot(state, connection, prober);
        }
        let dead = !connection.server.stream.is_quiet();
        let lifetime = self.database.server_lifetime;
        // With logins failing, what still works is worth keeping.
        let good = matches!(state.health, Health::Good) || state.lingering;
        let worn = good && connection.server.opened_at.elapsed() > lifetime && !lifetime.is_zero();
        // While a new generation takes over, few connections are away at a
        // time, and the others work on.
        let old = good && !state.is_current(&connection.generation);
        let replaced = old && state.closing + state.opening < self.at_once(state);
        // Of the reserve, or of a pool that keeps nothing.
        let surplus =
            state.waiters.is_empty() && (state.lingering || state.open > self.database.pool_size);
        // Where clients asked for a primary or a standby, it must still be one.
        let changed = connection.generation.target.attrs != SessionAttrs::Any
            && connection.server.has_changed_role();
        if dead || worn || replaced || surplus || changed {
            self.retire(state, connection);
            return self.open_for_waiters(state);
        }
        while let Some(waiter) = state.waiters.pop_front() {
            state.leased += 1;
            match waiter
                .delivery
                .send(Ok(Lease::new(self.clone(), connection)))
            {
                Ok(()) => return,
                // The client has left; its lease must not drop here, where the
                // lock is held.
                Err(Ok(lease)) => {
                    state.leased -= 1;
                    match lease.into_connection() {
                        Some(back) => connection = back,
                        None => return,
                    }
                }
                Err(Err(_)) => return,
            }
        }
        connection.idle_since = self.seconds();
        state.idle.push(connection);
        if old {
            self.start_replacing(state);
        }
    }

    /// How many connections may be away at a time because a new generation
    /// takes over. A login costs the server more than many transactions do, so
    /// that a burst of them is felt by everybody: first it goes gently, but a
    /// large pool, or a server far away, is not to take long either.
    fn at_once(&self, state: &State) -> usize {
        let current = state.current.as_ref();
        let since = current.and_then(|g| g.proven_at.elapsed().ok());
        match since {
            Some(since) if since < GENTLE => 1,
            _ => self.database.login_concurrency,
        }
    }

    fn hand_over_slot(
        self: &Arc<Self>,
        state: &mut State,
        connection: Box<Connection>,
        prober: oneshot::Sender<()>,
    ) {
        state.closing += 1;
        let pool = self.clone();
        tokio::spawn(async move {
            pool.close(connection, "replaced").await;
            let mut state = pool.state();
            state.closing -= 1;
            if prober.send(()).is_err() {
                pool.release_slot(&mut state);
            }
        });
    }

    /// Starts as many logins as waiters need and the ceiling allows.
    pub(super) fn open_for_waiters(self: &Arc<Self>, state: &mut State) {
        if !matches!(state.health, Health::Good) {
            return;
        }
        let Some(generation) = state.current.clone() else {
            return;
        };
        while state.opening < state.waiters.len() && self.may_open(state) {
            self.start_opening(state, generation.clone());
        }
    }

    pub(super) fn may_open(&self, state: &State) -> bool {
        let reserve = if state.reserve {
            self.database.reserve_pool_size
        } else {
            0
        };
        state.open < self.database.pool_size + reserve
            && state.opening < self.database.login_concurrency
            && !state.shut
    }

    pub(super) fn start_opening(self: &Arc<Self>, state: &mut State, generation: Arc<Generation>) {
        state.open += 1;
        state.opening += 1;
        let pool = self.clone();
        tokio::spawn(async move { pool.open_and_put(generation).await });
    }
}
