//! The server connections of one (database, secret): who may use one, with
//! which version it logged in, and how many there are.
//!
//! * `abandoned`  logins that took too long, and their slots
//! * `state`      what the lock protects: idle connections, waiters, slots
//! * `queue`      who waits, and whose turn it is
//! * `lease`      the interval in which a client holds a connection
//! * `canonical`  a setting as the server shows it
//! * `checkout`   getting one, giving one back
//! * `ahead`      the next one for a session that holds an older one
//! * `dedicated`  one for a client alone, with start-up parameters of its own
//! * `defaults`   what new logins find, and connections that have not
//! * `facts`      what clients are told of their server
//! * `generation` the connections that logged in with one version
//! * `listener`   one connection that listens for all clients
//! * `search`     which version is tried next, and when: a state machine
//! * `manager`    the task that does so
//! * `metrics`    what it measures
//! * `adopt`      a probe login, and what follows if it works
//! * `sweep`      the clock, outworn connections, the minimum
//! * `open`       logins and goodbyes
//! * `drain`      retiring an older generation
//! * `options`    how a pool is used
//! * `replication` how often a server is asked for that kind of session
//! * `quota`      how many the clients of one rule may hold
//! * `profile`    what clients set at start-up, kept true on every lease
//! * `statements` prepared statements that outlive a lease
//! * `prepared`   those that lie on one connection

mod abandoned;
mod adopt;
mod ahead;
mod canonical;
mod checkout;
mod connection;
mod dedicated;
mod defaults;
mod drain;
mod facts;
#[cfg(any(test, feature = "bench"))]
pub mod fake;
mod generation;
mod lease;
mod listener;
mod manager;
mod metrics;
mod open;
mod options;
mod prepared;
mod profile;
mod queue;
mod quota;
mod replication;
mod search;
mod state;
mod statements;
mod status;
mod sweep;
#[cfg(test)]
mod tests;

pub use ahead::Room;
pub use checkout::CheckoutError;
pub use connection::Connection;
pub use dedicated::DedicatedError;
pub use facts::{Facts, Told};
pub use generation::Generation;
pub use lease::Lease;
pub use listener::{End, Listener, ListenerCounts, Subscription, for_each_channel};
pub use options::{Database, DrainDeadlineAction, PoolMode, SessionMigration};
pub use prepared::{Evicted, Prepared, Unnamed};
pub use profile::{ParseSettings, Profile, Profiles, Settings, makes_temporary};
pub use queue::Delivery;
pub use quota::{Permit, Quota};
pub use state::Tried;
pub use statements::{Described, Statement, Statements};
pub use status::{GenerationCounts, PoolCounts};

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use self::metrics::PoolMetrics;
use crate::audit::{Audit, CredentialRef};
use crate::metrics::Metrics;
use crate::secret::{Credential, Follower, SecretId};
use crate::upstream::OldServers;
use replication::Starts;
use state::State;

pub struct Pool {
    pub database: Arc<Database>,
    pub secret: SecretId,
    pub follower: Arc<Follower>,
    pub profiles: Profiles,
    pub facts: Facts,
    pub statements: Statements,
    pub stats: Stats,
    pub listener: Listener,
    state: Mutex<State>,
    /// Of sessions that replicate.
    starts: Starts,
    /// Which of its hosts have to be asked in protocol 3.0.
    old_servers: Arc<OldServers>,
    /// Wakes the manager.
    wake: Arc<Notify>,
    /// Whole seconds since the pool began, moved by the manager: a clock that
    /// costs nothing to read.
    seconds: AtomicU64,
    metrics: PoolMetrics,
    audit: Audit,
    tasks: Mutex<Vec<AbortHandle>>,
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
        let (listener, commands) = Listener::new();
        let pool = Arc::new(Self {
            listener,
            metrics: PoolMetrics::new(registry, &database.name, secret.as_str()),
            database,
            secret,
            follower,
            profiles: Profiles::default(),
            facts: Facts::default(),
            statements: Statements::default(),
            stats: Stats::default(),
            state: Mutex::new(State::new()),
            starts: Starts::default(),
            old_servers: Arc::default(),
            wake: Arc::default(),
            seconds: AtomicU64::new(0),
            audit,
            tasks: Mutex::default(),
        });
        tokio::spawn(Listener::run(Arc::downgrade(&pool), commands));
        let weak = || Arc::downgrade(&pool);
        let manager = tokio::spawn(manager::run(weak(), pool.follower.subscribe()));
        let sweeper = tokio::spawn(sweep::run(weak()));
        let tasks = [manager.abort_handle(), sweeper.abort_handle()];
        *pool.tasks.lock() = tasks.into();
        pool
    }

    /// No code that can panic runs under this lock; should it happen all the
    /// same, the state is still the best there is.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A credential for a record, with the labels that its version carries now:
    /// it may have got or lost some since it was read.
    pub fn credential_ref(&self, credential: &Credential) -> CredentialRef {
        CredentialRef {
            secret: credential.secret.as_str().into(),
            arn: credential.arn.clone(),
            version: credential.version.as_str().into(),
            stages: self.follower.known().stages_of(credential),
            user: credential.username.as_str().into(),
        }
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
        let mut tasks = self.tasks.lock();
        tasks.drain(..).for_each(|task| task.abort());
    }
}
