//! Getting a connection, and giving it back.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::debug;

use super::generation::Generation;
use super::state::{Health, State};
use super::{Connection, LOGIN_CONCURRENCY, Lease, Pool};
use crate::secret::SecretId;

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

impl Pool {
    /// A connection if one is free this instant and nobody is before us.
    pub fn try_checkout(self: &Arc<Self>) -> Option<Lease> {
        self.take_idle(&mut self.state())
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
        let began = Instant::now();
        let delivery = {
            let mut state = self.state();
            // Under the lock under which we queue: a connection that came back
            // in between would lie idle with us waiting beside it.
            if let Some(lease) = self.take_idle(&mut state) {
                return Ok(lease);
            }
            if state.shut {
                return Err(CheckoutError::Shut);
            }
            if let Some(error) = self.hopeless(&state) {
                return Err(error);
            }
            let (waiter, delivery) = oneshot::channel();
            state.waiters.push_back(waiter);
            self.open_for_waiters(&mut state);
            delivery
        };
        let result = timeout(self.database.pool_wait_timeout, delivery).await;
        self.metrics.checkout.record(began.elapsed().as_secs_f64());
        match result {
            Ok(Ok(delivery)) => delivery,
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
        // While a new generation takes over, at most a few connections are
        // away at a time: with clients waiting, the others work on.
        let old = good
            && !state.is_current(&connection.generation)
            && (state.waiters.is_empty() || state.closing < LOGIN_CONCURRENCY);
        let surplus = state.lingering && state.waiters.is_empty();
        if dead || worn || old || surplus {
            self.retire(state, connection);
            return self.open_for_waiters(state);
        }
        while let Some(waiter) = state.waiters.pop_front() {
            state.leased += 1;
            match waiter.send(Ok(Lease::new(self.clone(), connection))) {
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
        state.open < self.database.pool_size && state.opening < LOGIN_CONCURRENCY && !state.shut
    }

    pub(super) fn start_opening(self: &Arc<Self>, state: &mut State, generation: Arc<Generation>) {
        state.open += 1;
        state.opening += 1;
        let pool = self.clone();
        tokio::spawn(async move { pool.open_and_put(generation).await });
    }
}
