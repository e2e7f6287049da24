//! The server connections of one (database, secret): who may use one, with
//! which version it logged in, and how many there are.
//!
//! * `state`      what the lock protects: idle connections, waiters, slots
//! * `lease`      the interval in which a client holds a connection
//! * `checkout`   getting one, giving one back
//! * `dedicated`  one for a client alone, with start-up parameters of its own
//! * `generation` the connections that logged in with one version
//! * `manager`    the task that proves versions, adopts them, and sweeps
//! * `open`       logins and goodbyes
//! * `drain`      retiring an older generation
//! * `profile`    what clients set at start-up, kept true on every lease
//! * `statements` prepared statements that outlive a lease
//! * `suspicion`  what a statement's text gives reason to ask the server about

mod checkout;
mod connection;
mod dedicated;
mod drain;
mod generation;
mod lease;
mod manager;
mod open;
mod profile;
mod state;
mod statements;
mod status;
mod suspicion;
#[cfg(test)]
pub(crate) mod tests;

pub use checkout::CheckoutError;
pub use connection::Connection;
pub use dedicated::DedicatedError;
pub use generation::Generation;
pub use lease::Lease;
pub use profile::{Profile, Profiles, Settings, literal};
pub use statements::{Prepared, Statement, Statements, Unnamed, server_name, statement_name};
pub use status::{GenerationCounts, PoolCounts};
pub use suspicion::{Suspicion, suspect};

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::audit::Audit;
use crate::config::Database;
use crate::observe::{Metrics, PoolMetrics};
use crate::secret::{Follower, SecretId};
use state::State;

/// Logins under way at the same time in one pool. A SCRAM login costs
/// milliseconds of CPU on both sides; more at once only makes each slower.
const LOGIN_CONCURRENCY: usize = 4;

pub struct Pool {
    pub database: Arc<Database>,
    pub secret: SecretId,
    pub follower: Arc<Follower>,
    pub profiles: Profiles,
    pub statements: Statements,
    pub stats: Stats,
    state: Mutex<State>,
    /// Wakes the manager.
    wake: Arc<Notify>,
    /// Whole seconds since the pool began, moved by the manager: a clock that
    /// costs nothing to read.
    seconds: AtomicU64,
    metrics: PoolMetrics,
    registry: Arc<Metrics>,
    audit: Audit,
    task: Mutex<Option<AbortHandle>>,
}

/// What sessions add up, once a transaction.
#[derive(Default)]
pub struct Stats {
    pub transactions: AtomicU64,
    pub queries: AtomicU64,
    pub received: AtomicU64,
    pub sent: AtomicU64,
    /// Checkouts that did not wait: samples of zero for the histogram.
    pub immediate: AtomicU64,
}

impl Pool {
    /// Starts with no connection; the manager proves the secret's current
    /// version with a first login at once.
    pub fn start(
        database: Arc<Database>,
        secret: SecretId,
        follower: Arc<Follower>,
        registry: Arc<Metrics>,
        audit: Audit,
    ) -> Arc<Self> {
        let pool = Arc::new(Self {
            metrics: registry.pool(&database.name, secret.as_str()),
            database,
            secret,
            follower,
            profiles: Profiles::default(),
            statements: Statements::default(),
            stats: Stats::default(),
            state: Mutex::new(State::new()),
            wake: Arc::default(),
            seconds: AtomicU64::new(0),
            registry,
            audit,
            task: Mutex::default(),
        });
        let task = tokio::spawn(manager::run(
            Arc::downgrade(&pool),
            pool.follower.subscribe(),
        ));
        *pool.task.lock().unwrap_or_else(|e| e.into_inner()) = Some(task.abort_handle());
        pool
    }

    /// No code that can panic runs under this lock; should it happen all the
    /// same, the state is still the best there is.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn seconds(&self) -> u64 {
        self.seconds.load(Relaxed)
    }

    /// Adds what a lease did to the metrics.
    pub fn count(&self, transactions: u64, queries: u64, received: u64, sent: u64) {
        self.stats.transactions.fetch_add(transactions, Relaxed);
        self.stats.queries.fetch_add(queries, Relaxed);
        self.stats.received.fetch_add(received, Relaxed);
        self.stats.sent.fetch_add(sent, Relaxed);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(|e| e.into_inner()).take() {
            task.abort();
        }
    }
}
