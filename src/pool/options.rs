//! How a pool is used.

use std::sync::Arc;
use std::time::Duration;

use crate::secret::SecretId;
use crate::upstream;

/// `[database.NAME]`: what clients ask for, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Database {
    pub secret: SecretId,
    /// How the server is reached, and the database's name.
    pub upstream: Arc<upstream::Options>,
    pub pool_mode: PoolMode,
    /// The application_name that Postgres is shown: a text with the placeholders
    /// `{application_name}` and `{client}`.
    pub application_name: Option<Arc<str>>,
    /// Whether the name of the client is in the setting `pgvalet.client`.
    pub client_setting: bool,
    /// The ceiling of server connections, old and new generations together.
    pub pool_size: usize,
    pub min_pool_size: usize,
    /// The number of connections that may be opened beyond `pool_size` while a client has waited
    /// longer than `reserve_pool_timeout`.
    pub reserve_pool_size: usize,
    pub reserve_pool_timeout: Duration,
    /// The ceiling of the pools of all replicas together; `None`: there is none.
    pub fleet_size: Option<usize>,
    /// How many clients there may be; `None`: as many as `[listen] max_clients`
    /// lets in.
    pub max_clients: Option<usize>,
    pub pool_wait_timeout: Duration,
    pub on_down: OnDown,
    /// How many clients may wait for a server connection at the same time.
    pub max_waiting: usize,
    /// A connection that was idle for longer is tried before it is handed out. This
    /// and the timeouts down to `server_lifetime` are off where they are zero.
    pub server_check_delay: Duration,
    /// A server connection that one `[[client]]` has used is cleaned before
    /// another one gets it.
    pub reset_between_clients: bool,
    /// Texts that are parsed without a name are prepared once (see `plans`).
    pub reuse_plans: bool,
    pub query_timeout: Duration,
    pub idle_transaction_timeout: Duration,
    pub client_idle_timeout: Duration,
    pub server_idle_timeout: Duration,
    pub server_lifetime: Duration,
    pub drain_timeout: Duration,
    pub drain_deadline_action: DrainDeadlineAction,
    /// The time after which a session of an older generation ends even inside a transaction; zero:
    /// never.
    pub drain_hard_timeout: Duration,
    pub session_migration: SessionMigration,
    /// Logins under way at the same time in one pool. A SCRAM login costs
    /// milliseconds of CPU on both sides; more at once only make each slower.
    pub login_concurrency: usize,
    /// How long clients queue while no known version logs in.
    pub rotation_grace: Duration,
}

impl Database {
    /// The NAME of `[database.NAME]`.
    pub fn name(&self) -> &Arc<str> {
        &self.upstream.name
    }
}

/// How long a client keeps a server connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    Session,
    Transaction,
    /// Like `Transaction`, but a transaction is one statement (or one query of
    /// several).
    Statement,
}

impl PoolMode {
    /// The mode as the configuration writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Statement => "statement",
        }
    }
}

/// What becomes of clients that need a server connection while the server lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDown {
    /// Clients wait until a login works, for no longer than `pool_wait_timeout`.
    Queue,
    /// Clients are told at once.
    Refuse,
}

/// Whether sessions of session mode move to a new generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionMigration {
    Off,
    /// A session moves to a connection of the generation in force if everything that
    /// it holds can be had there again.
    Safe,
}

/// What happens to sessions that keep an older generation after `drain_timeout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainDeadlineAction {
    Wait,
    Terminate,
}
