//! Errors of a store's server.

use tokio_postgres::error::SqlState;

use crate::vault::VaultError;

/// Why the server did not do what it was asked. The texts hold no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// Nobody is logged in.
    #[error("its server cannot be used: {0}")]
    Unreachable(String),
    #[error("the connection to its server is lost")]
    Lost,
    #[error("its server did not answer within {0} seconds")]
    Silent(u64),
    #[error(
        "its server wrote, but does not promise that a standby has it, because somebody cancelled \
         the wait for it; look whether it is there, and try again"
    )]
    NotReplicated,
    #[error(
        "it was upgraded by a newer pgvalet (to layout {0}, this one knows {1}); run the newer one"
    )]
    Outdated(i64, i64),
    #[error("its database is not in UTF8; make one with ENCODING 'UTF8'")]
    Encoding,
    #[error(
        "its role {role:?} has no right to use the schema {schema:?}; grant it: GRANT USAGE ON SCHEMA \
         \"{schema}\" TO \"{role}\", and all rights on the tables in it, or log in as their owner"
    )]
    NoUsage { role: String, schema: String },
    #[error("its server answered: {message} ({code})")]
    Sql { code: String, message: String },
    #[error("talking to its server failed: {0}")]
    Protocol(String),
}

impl ServerError {
    /// The error of connecting or logging in.
    pub fn of_login(error: tokio_postgres::Error) -> Self {
        match Self::from(error) {
            Self::Sql { code, message } => Self::Unreachable(format!("{message} ({code})")),
            Self::Protocol(text) => Self::Unreachable(text),
            Self::Lost => Self::Unreachable("it closed the connection".into()),
            other => other,
        }
    }

    /// Whether another try may help without anybody doing anything.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Lost | Self::Silent(_) | Self::NotReplicated => true,
            Self::Sql { code, .. } => ["08", "53", "55", "57"].iter().any(|c| code.starts_with(c)),
            Self::Outdated(..) | Self::Encoding | Self::NoUsage { .. } | Self::Protocol(_) => false,
        }
    }

    fn is(&self, state: &SqlState) -> bool {
        matches!(self, Self::Sql { code, .. } if code == state.code())
    }

    /// Somebody else has been writing for too long.
    pub fn is_busy(&self) -> bool {
        self.is(&SqlState::LOCK_NOT_AVAILABLE)
    }
}

impl From<tokio_postgres::Error> for ServerError {
    fn from(error: tokio_postgres::Error) -> Self {
        use std::error::Error;
        if let Some(sql) = error.as_db_error() {
            // The server ended the session: it stops, crashed, or was told to.
            let ended = [
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            ];
            if ended.contains(sql.code()) {
                return Self::Lost;
            }
            return Self::Sql {
                code: sql.code().code().to_owned(),
                // Not the detail, which holds values.
                message: sql.message().to_owned(),
            };
        }
        if error.is_closed() {
            return Self::Lost;
        }
        // Its own text says only where; the cause says what.
        let source = error.source();
        if source.is_some_and(|source| source.is::<std::io::Error>())
            && error.to_string().starts_with("error communicating")
        {
            return Self::Lost;
        }
        Self::Protocol(match source {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        })
    }
}

impl From<ServerError> for VaultError {
    fn from(error: ServerError) -> Self {
        if error.is_busy() {
            return Self::Busy(
                "another replica is writing to the store and did not finish in time; try again"
                    .into(),
            );
        }
        if error.is(&SqlState::CHARACTER_NOT_IN_REPERTOIRE)
            || error.is(&SqlState::UNTRANSLATABLE_CHARACTER)
        {
            return Self::InvalidParameter(
                "A text holds the character U+0000, which a store on PostgreSQL cannot keep."
                    .into(),
            );
        }
        Self::Internal(format!("the store is not available: {error}"))
    }
}
