//! The server connections of one (database, secret): who may use one, with
//! which version it logged in, and how many there are.
//!
//! Lending them:
//! * `checkout`    getting a connection, `checkin` giving it back
//! * `queue`       who waits, and whose turn it is; `waiting` what for
//! * `lease`       the interval in which a client holds one
//! * `quota`       how many the clients of one rule may hold
//! * `ahead`       a second one for a session that holds an older one
//! * `dedicated`   one for a client alone, with start-up parameters of its own
//! * `replication` how often a server is asked for such a one
//! * `clean`       making one fit for the next client
//! * `sweep`       the clock, outworn connections, the minimum
//!
//! Opening and closing them:
//! * `hold`        pausing, and logging in anew, because somebody asks for it
//! * `open`        how many, and when
//! * `login`       one login, `close` one goodbye
//! * `vacate`      leaving a database that is dropped, renamed or copied
//! * `share`       one ceiling for two processes, during an upgrade
//! * `fleet`       one ceiling for the pools of all replicas
//! * `errand`      logins that no client waits for
//! * `slots`       what counts against `pool_size`
//! * `abandoned`   logins that took too long, and their slots
//!
//! The version in force:
//! * `search`      which version is tried next, and when: a state machine
//! * `manager`     the task that does so
//! * `probe`       one login with a candidate
//! * `trial`       a version that is used before it is AWSCURRENT
//! * `adopt`       what follows if it works, `outage` if logins fail
//! * `places`      which version logs in where
//! * `generation`  the connections that logged in with one version
//! * `drain`       retiring an older generation
//!
//! What is known of a connection:
//! * `connection`  the connection itself
//! * `profile`     what clients set, kept true on every lease
//! * `prepared`    the statements on one connection
//! * `statements`  the statements of all clients, which outlive a lease
//! * `defaults`    what new logins find in force
//! * `facts`       what clients are told of their server
//! * `canonical`   a setting as the server shows it
//! * `listener`    one connection that listens for all clients
//!
//! * `state`       what the pool's lock protects
//! * `options`     how a pool is used, `reload` puts other ones into force
//! * `roster`      its connections, each of them
//! * `status`      what there is to see of a pool
//! * `metrics`     what it measures

mod abandoned;
mod adopt;
mod ahead;
mod canonical;
mod checkin;
mod checkout;
mod clean;
mod close;
mod connection;
mod dedicated;
mod defaults;
mod drain;
mod errand;
mod facts;
#[cfg(any(test, feature = "bench"))]
pub mod fake;
mod fleet;
mod generation;
mod hold;
mod lease;
mod listener;
mod login;
mod manager;
mod metrics;
mod open;
mod options;
mod outage;
mod owners;
mod places;
mod plans;
mod prepared;
mod probe;
mod profile;
mod queue;
mod quota;
mod reload;
mod replication;
mod roster;
mod search;
mod share;
mod slots;
mod state;
mod statements;
mod status;
mod sweep;
#[cfg(test)]
mod tests;
mod trial;
mod vacate;
mod waiting;

pub use ahead::Room;
pub use checkout::CheckoutError;
pub use connection::Connection;
pub use dedicated::DedicatedError;
use errand::Errands;
pub use facts::{Facts, Told};
use fleet::Kin;
pub use fleet::{FleetCounts, Hindrance, Stuck, try_share};
pub use generation::Generation;
pub use lease::Lease;
pub use listener::{End, ListenerCounts, SharedListener, Subscription, for_each_channel};
pub use options::{Database, DrainDeadlineAction, OnDown, PoolMode, SessionMigration};
use plans::Ddl;
pub use plans::{Plan, Plans};
pub use prepared::{Evicted, Prepared, Unnamed};
pub use profile::{ParseSettings, Profile, Profiles, Settings, makes_temporary};
pub use queue::Delivery;
pub use quota::{Permit, Quota};
pub use reload::Remains;
pub use roster::{Registered, ServerUse, ServerView};
pub use search::{LoginTrouble, Tried};
pub use share::{Share, Tell};
pub use statements::{Described, Statement, Statements};
pub use status::{GenerationCounts, PoolCounts};
pub use trial::OnTrial;
pub use waiting::Awaited;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::{ArcSwap, Guard};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use self::metrics::PoolMetrics;
use crate::audit::{Audit, CredentialRef};
use crate::metrics::Metrics;
use crate::secret::{Credential, Follower, SecretId};
use crate::upstream::OldServers;
use replication::Starts;
use state::State;

/// The server connections of one (database, secret).
pub struct Pool {
    /// The NAME of `[database.NAME]`.
    pub name: Arc<str>,
    /// How the pool is used; see [`Pool::database`].
    database: ArcSwap<Database>,
    pub secret: SecretId,
    pub follower: Arc<Follower>,
    pub profiles: Profiles,
    pub facts: Facts,
    pub statements: Statements,
    pub stats: Arc<Stats>,
    pub listener: SharedListener,
    state: Mutex<State>,
    /// Starts of sessions that replicate.
    starts: Starts,
    /// The servers of the pool that only speak protocol 3.0.
    old_servers: Arc<OldServers>,
    /// Wakes the manager.
    wake: Arc<Notify>,
    /// Wakes a login that no client has waited for.
    asked: Notify,
    errands: Errands,
    kin: Kin,
    /// Why clients wait for the server, while it lets nobody in.
    outage: watch::Sender<Option<CheckoutError>>,
    /// Whole seconds since the pool began, moved by the sweep: a clock that costs
    /// nothing to read.
    seconds: AtomicU64,
    metrics: PoolMetrics,
    audit: Audit,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// What the pools of a process share.
#[derive(Clone, Default)]
pub struct Shared {
    errands: Errands,
    ddl: Ddl,
    kin: Kin,
}

/// What sessions add up, once in a transaction.
#[derive(Default)]
pub struct Stats {
    pub transactions: AtomicU64,
    pub queries: AtomicU64,
    /// Bytes received from clients.
    pub received: AtomicU64,
    /// Bytes sent to clients.
    pub sent: AtomicU64,
    /// How long clients have waited for a connection, in microseconds.
    pub waited: AtomicU64,
    /// How long sessions were in a transaction, and how long the server worked for them, in
    /// microseconds. Found by looking at the sessions twice a second.
    pub in_transaction: AtomicU64,
    pub at_work: AtomicU64,
    /// Checkouts that did not wait. They are samples of zero for the histogram.
    pub immediate: AtomicU64,
}

impl Pool {
    /// Starts a pool without connections. Its manager proves the secret's current
    /// version with a first login before long, and lets that go if no client wants it.
    /// `shared`: the same for all pools of a process; `remains`: of an earlier pool for the
    /// same.
    pub fn start(
        database: Arc<Database>,
        secret: SecretId,
        follower: Arc<Follower>,
        registry: Arc<Metrics>,
        audit: Audit,
        shared: Shared,
        remains: Remains,
    ) -> Arc<Self> {
        let statements = Statements::sharing(shared.ddl);
        statements.plans.keep_them(database.reuse_plans);
        let (listener, commands) = SharedListener::new();
        let pool = Arc::new(Self {
            listener,
            metrics: PoolMetrics::new(registry, database.name(), secret.as_str(), &remains.stats),
            state: Mutex::new(State::new(database.rotation_grace, remains.generations)),
            name: database.name().clone(),
            database: ArcSwap::new(database),
            secret,
            follower,
            profiles: Profiles::default(),
            facts: Facts::default(),
            statements,
            stats: remains.stats,
            starts: Starts::default(),
            old_servers: Arc::default(),
            wake: Arc::default(),
            asked: Notify::new(),
            errands: shared.errands,
            kin: shared.kin,
            outage: watch::Sender::new(None),
            seconds: AtomicU64::new(0),
            audit,
            tasks: Mutex::default(),
        });
        if let Some((lent, tell)) = remains.elsewhere {
            pool.share(lent, tell);
        }
        pool.kin.add(&pool);
        pool.keep_share(&mut pool.state());
        tokio::spawn(SharedListener::run(Arc::downgrade(&pool), commands));
        let weak = || Arc::downgrade(&pool);
        let manager = tokio::spawn(manager::run(weak(), pool.follower.subscribe()));
        let sweeper = tokio::spawn(sweep::run(weak()));
        let tasks = [manager.abort_handle(), sweeper.abort_handle()];
        pool.tasks.lock().extend(tasks);
        pool
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// How the pool is used: `[database.NAME]` as it reads since the last reload. The guard must
    /// not be held across a wait.
    pub fn database(&self) -> Guard<Arc<Database>> {
        self.database.load()
    }

    /// A credential as records name it, with the labels that its version has now: the version may
    /// have gained or lost some since it was read.
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

    /// Adds up what a session did since it last counted; `received` and `sent` in
    /// bytes.
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
