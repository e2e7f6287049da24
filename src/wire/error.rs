//! The errors of pgvalet itself that a client may read.
//!
//! This is an allow-list: no text of the server, of the access rules or of the secret
//! store reaches a client except through a variant here.

use std::sync::Arc;

use super::startup::StartupError;
use super::{LoginFailure, Reference, message};

/// A five-character SQLSTATE (PostgreSQL documentation, appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub &'static str);

/// Why no version logs in, where that is known.
fn because(failure: &Option<LoginFailure>) -> String {
    failure.map_or_else(String::new, |failure| format!(": {}", failure.of_version()))
}

/// An error for a client: its text, SQLSTATE and hint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// An unknown database, an unknown user and no rule get the same answer, so that nobody can
    /// find out which of them exist. Those who run the proxy find out why by the reference.
    #[error("access denied{}", ref_of(*.0))]
    Denied(Option<Reference>),
    #[error("this server requires TLS")]
    TlsRequired,
    #[error("{0}")]
    Startup(StartupError),
    #[error("{0}")]
    Protocol(&'static str),
    #[error("invalid frontend message type {0}")]
    UnknownMessage(u8),
    #[error("sorry, too many clients already")]
    TooManyClients,
    #[error("sorry, too many clients of database \"{0}\" already")]
    TooManyClientsOf(Arc<str>),
    #[error("no server connection to database \"{0}\" became free in time")]
    PoolWaitTimeout(Arc<str>),
    #[error("{limit} clients wait for a server connection to database \"{database}\" already")]
    TooManyWaiting { database: Arc<str>, limit: usize },
    #[error("database \"{0}\" is paused")]
    Paused(Arc<str>),
    #[error("database \"{0}\" is disabled")]
    Disabled(Arc<str>),
    #[error("the server of database \"{database}\" {failure}")]
    Login {
        database: Arc<str>,
        failure: LoginFailure,
    },
    #[error("no version of secret \"{secret}\" logs in to the database{}", because(.failure))]
    NoWorkingVersion {
        secret: Arc<str>,
        /// Why the version that was tried last does not log in.
        failure: Option<LoginFailure>,
    },
    #[error("secret \"{0}\" cannot be used")]
    SecretUnusable(Arc<str>),
    #[error("the connection to the database server was lost")]
    UpstreamLost,
    #[error("canceling statement due to user request")]
    Cancelled,
    /// In the place of Postgres's error about the cancel request that pgvalet has sent.
    #[error("canceling statement due to query_timeout")]
    QueryOverdue,
    #[error("terminating connection due to query_timeout")]
    QueryTimeout,
    #[error("terminating connection due to idle_transaction_timeout")]
    IdleInTransaction,
    #[error("terminating connection due to client_idle_timeout")]
    IdleClient,
    #[error("terminating connection due to administrator command")]
    ShuttingDown,
    #[error("terminating connection because its credential was replaced")]
    DrainDeadline,
    #[error("terminating connection because its access has ended")]
    Revoked,
    #[error("no random numbers for a cancel key")]
    NoRandomNumbers,
    #[error("the audit log cannot be written")]
    AuditUnavailable,
    #[error("the connection that listened for this client was lost; notifications may be missing")]
    ListenerLost,
    #[error("too many notifications wait for this client, which does not read them")]
    ListenerTooSlow,
    #[error("transactions of more than one statement are not allowed in statement mode")]
    TransactionBlock,
    #[error("the role of database \"{0}\" may not start replication")]
    ReplicationRole(Arc<str>),
    #[error("the server of database \"{0}\" lets no replication connection in from here")]
    ReplicationHba(Arc<str>),
    #[error(
        "the server of database \"{0}\" has refused this client replication several times; it is asked again in a few seconds"
    )]
    ReplicationTooOften(Arc<str>),
    #[error("{0}")]
    BadParameter(String),
}

fn ref_of(reference: Option<Reference>) -> String {
    reference.map_or_else(String::new, |r| format!(" (ref {r})"))
}

impl ClientError {
    /// The SQLSTATE that Postgres has for the same situation, or for the nearest.
    pub fn sqlstate(&self) -> SqlState {
        SqlState(match self {
            Self::Denied(_) | Self::TlsRequired => "28000",
            Self::Startup(StartupError::Replication) => "22023",
            Self::Startup(StartupError::Version(_)) => "0A000",
            Self::ReplicationRole(_) => "42501",
            Self::ReplicationHba(_) => "28000",
            Self::Startup(_) | Self::Protocol(_) | Self::UnknownMessage(_) => "08P01",
            Self::TooManyClients
            | Self::TooManyClientsOf(_)
            | Self::TooManyWaiting { .. }
            | Self::PoolWaitTimeout(_) => "53300",
            Self::Login { failure, .. } => failure.sqlstate(),
            Self::UpstreamLost | Self::ListenerLost => "08006",
            Self::NoWorkingVersion { .. }
            | Self::SecretUnusable(_)
            | Self::AuditUnavailable
            | Self::Paused(_)
            | Self::Disabled(_)
            | Self::ReplicationTooOften(_) => "57P03",
            Self::IdleInTransaction => "25P03",
            Self::IdleClient => "57P05",
            Self::Cancelled | Self::QueryOverdue | Self::QueryTimeout => "57014",
            Self::ListenerTooSlow => "54000",
            Self::ShuttingDown | Self::DrainDeadline | Self::Revoked => "57P01",
            Self::NoRandomNumbers => "XX000",
            Self::TransactionBlock => "0A000",
            Self::BadParameter(_) => "22023",
        })
    }

    /// What the reader can do about it, if anything.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::TlsRequired => "Connect with sslmode=require or stricter.",
            Self::TooManyClients => {
                "Close idle connections, or raise max_clients of [listen] or of the client's rule; the console has 50 places."
            }
            Self::TooManyClientsOf(_) => {
                "Raise max_clients of the database, or close idle connections."
            }
            Self::PoolWaitTimeout(_) => {
                "All server connections are busy for longer than pool_wait_timeout; raise pool_size of the database or of the client's rule, or look for long transactions."
            }
            Self::TooManyWaiting { .. } => "Try again later, or raise max_waiting of the database.",
            Self::QueryOverdue => {
                "The statement took longer than query_timeout of the database in pgvalet's configuration."
            }
            Self::QueryTimeout => {
                "The statement took longer than query_timeout of the database in pgvalet's configuration, and went on although it was cancelled."
            }
            Self::IdleInTransaction => {
                "The transaction was idle for longer than idle_transaction_timeout of the database in pgvalet's configuration; COMMIT or ROLLBACK sooner."
            }
            Self::IdleClient => {
                "The client was idle for longer than client_idle_timeout of the database in pgvalet's configuration. Connect again."
            }
            Self::ListenerTooSlow => {
                "Read notifications as they come: 4 MiB of them may wait. Connect, LISTEN, and look at what may have been missed."
            }
            Self::Paused(_) => "An administrator has paused it; RESUME in the console ends that.",
            Self::Disabled(_) => {
                "An administrator has disabled it; ENABLE in the console ends that."
            }
            Self::Login { failure, .. } => failure.hint(),
            Self::NoWorkingVersion { failure, .. } => {
                failure.unwrap_or(LoginFailure::Password).hint()
            }
            Self::SecretUnusable(_) => "Run `pgvalet check` for the cause.",
            Self::ReplicationRole(_) => {
                "ALTER ROLE … REPLICATION for the role in the secret (on RDS: GRANT rds_replication)."
            }
            Self::ReplicationHba(_) => {
                "Physical replication needs a line for the database \"replication\" in pg_hba.conf."
            }
            Self::ReplicationTooOften(_) => "The refusals before this one say why.",
            Self::Startup(StartupError::Replication) => {
                "Valid values are: \"false\", 0, \"true\", 1, \"database\"."
            }
            Self::TransactionBlock => {
                "Send the statements as one query, or set pool_mode = \"transaction\" for this database."
            }
            Self::ListenerLost => "Connect, LISTEN, and look at what may have been missed.",
            Self::DrainDeadline => {
                "It was in use for longer than drain_timeout allows. Connect again."
            }
            Self::ShuttingDown => "Connect again.",
            Self::AuditUnavailable => "Free space for the audit log, or see [audit] on_failure.",
            _ => return None,
        })
    }

    /// Writes ErrorResponse with severity FATAL: the connection ends after it.
    pub fn fatal(&self, out: &mut Vec<u8>) {
        if let Self::Startup(StartupError::Version(asked)) = self
            && asked.major() < 3
        {
            return message::error_response_v2(out, "FATAL", &self.to_string());
        }
        message::error_response(
            out,
            "FATAL",
            self.sqlstate().0,
            &self.to_string(),
            self.hint(),
        );
    }

    /// Writes ErrorResponse with severity ERROR: the connection stays open.
    pub fn error(&self, out: &mut Vec<u8>) {
        message::error_response(
            out,
            "ERROR",
            self.sqlstate().0,
            &self.to_string(),
            self.hint(),
        );
    }
}
