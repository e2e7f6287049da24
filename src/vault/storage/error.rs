//! Errors of the databases that keep a store.

use rusqlite::ErrorCode;

use super::{Location, ServerError};
use crate::vault::{OpenError, VaultError};

/// Why a database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The messages of SQLite name tables and causes, never bound values.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("{0}")]
    Unexpected(&'static str),
}

impl StorageError {
    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Server(_) | Self::Unexpected(_) => None,
        }
    }

    /// The error of opening or copying the store at `location`.
    pub fn at(self, location: &Location) -> OpenError {
        let location = location.clone();
        match (self.code(), self) {
            (Some(ErrorCode::NotADatabase), _) => OpenError::NotAStore(location),
            (Some(ErrorCode::DatabaseCorrupt), error) => {
                OpenError::Damaged(location, error.to_string())
            }
            (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => {
                OpenError::Busy(location)
            }
            (_, Self::Server(error)) if error.is_busy() => OpenError::Busy(location),
            (_, Self::Unexpected(what)) => OpenError::Damaged(location, what.into()),
            (_, error) => OpenError::Storage(location, error),
        }
    }
}

impl StorageError {
    /// Whether another try may help without anybody doing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Server(error) if error.is_temporary())
    }
}

impl From<StorageError> for VaultError {
    fn from(error: StorageError) -> Self {
        if let StorageError::Server(error) = error {
            return error.into();
        }
        match error.code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(
                "another process is writing to the embedded store and did not finish in time; \
                 try again"
                    .into(),
            ),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Internal(format!(
                "the embedded store's database file is damaged ({error}); \
                 stop pgvalet and restore the file from a backup"
            )),
            Some(ErrorCode::DiskFull) => Self::Internal(
                "the disk that holds the embedded store's database is full; make room on it".into(),
            ),
            _ => Self::Internal(format!(
                "the embedded store's database answered: {error}; \
                 check the file, its permissions and its disk"
            )),
        }
    }
}
