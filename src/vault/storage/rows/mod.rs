//! Every statement that the vault's rules need, each once, in the SQL that SQLite
//! and PostgreSQL both understand. Parameters are `?1`, `?2`, …
//!
//! What a row means, and what may be done with it, is not known here.

mod everything;
mod key_check;
mod labels;
mod principals;
mod sealed;
mod secrets;
mod versions;

pub use everything::Everything;
pub use principals::PrincipalRow;
pub use sealed::{SealedRow, SealedTable};
pub use secrets::{NewSecret, PageOf};

use super::StorageError;
use super::cell::{Cell, FromCell, Row};
use super::postgres;

/// A transaction. Dropped without [`Rows::commit`], it changes nothing.
pub enum Rows<'a> {
    Sqlite(rusqlite::Transaction<'a>),
    Postgres(postgres::Transaction<'a>),
}

impl Rows<'_> {
    pub fn commit(self) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(tx) => Ok(tx.commit()?),
            Self::Postgres(tx) => tx.commit(),
        }
    }

    /// Gives the transaction up, as dropping it does, but waits for that.
    pub fn rollback(self) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(tx) => Ok(tx.rollback()?),
            Self::Postgres(tx) => tx.rollback(),
        }
    }

    fn query(&self, sql: &str, parameters: &[Cell]) -> Result<Vec<Row>, StorageError> {
        match self {
            Self::Sqlite(tx) => super::sqlite::query(tx, sql, parameters),
            Self::Postgres(tx) => tx.query(sql, parameters),
        }
    }

    fn execute(&self, sql: &str, parameters: &[Cell]) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(tx) => super::sqlite::execute(tx, sql, parameters),
            Self::Postgres(tx) => tx.query(sql, parameters).map(drop),
        }
    }

    fn optional(&self, sql: &str, parameters: &[Cell]) -> Result<Option<Row>, StorageError> {
        Ok(self.query(sql, parameters)?.into_iter().next())
    }

    /// The one column of the one row that there has to be.
    fn one<T: FromCell>(&self, sql: &str, parameters: &[Cell]) -> Result<T, StorageError> {
        let row = self.optional(sql, parameters)?;
        row.ok_or(StorageError::Unexpected(
            "a row that has to be there is gone",
        ))?
        .read()
    }
}
