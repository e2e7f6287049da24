//! How a pool is used.

use std::sync::Arc;
use std::time::Duration;

use crate::secret::SecretId;
use crate::upstream;

/// `[database.NAME]`: what clients ask for, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Database {
    pub name: Arc<str>,
    pub secret: SecretId,
    /// How its server is reached.
    pub upstream: Arc<upstream::Options>,
    pub pool_mode: PoolMode,
    /// What Postgres is shown as application_name: a text with
    /// `{application_name}` and `{client}`.
    pub application_name: Option<Arc<str>>,
    /// The ceiling of server connections, old and new generations together.
    pub pool_size: usize,
    pub min_pool_size: usize,
    /// More of them, for as long as a client has waited longer than
    /// `reserve_pool_timeout`.
    pub reserve_pool_size: usize,
    pub reserve_pool_timeout: Duration,
    /// `None`: as many as `[listen] max_clients` lets in.
    pub max_clients: Option<usize>,
    pub pool_wait_timeout: Duration,
    /// An idle connection is tried before it is handed out, when it was idle
    /// for longer. This and the three below: zero is off.
    pub server_check_delay: Duration,
    /// A server connection that one `[[client]]` has used is cleaned before
    /// another one gets it.
    pub reset_between_clients: bool,
    pub query_timeout: Duration,
    pub idle_transaction_timeout: Duration,
    pub client_idle_timeout: Duration,
    pub server_idle_timeout: Duration,
    pub server_lifetime: Duration,
    pub drain_timeout: Duration,
    pub drain_deadline_action: DrainDeadlineAction,
    /// When a session that is due ends even inside a transaction; zero: never.
    pub drain_hard_timeout: Duration,
    pub session_migration: SessionMigration,
    /// Logins under way at the same time in one pool. A SCRAM login costs
    /// milliseconds of CPU on both sides; more at once only make each slower.
    pub login_concurrency: usize,
    /// How long clients queue while no known version logs in.
    pub rotation_grace: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    Session,
    Transaction,
    /// As `Transaction`, and a transaction is one statement (or one query of
    /// several).
    Statement,
}

impl PoolMode {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Statement => "statement",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionMigration {
    Off,
    /// To a connection of the generation in force, where everything that the
    /// session holds can be had there again.
    Safe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainDeadlineAction {
    Wait,
    Terminate,
}
