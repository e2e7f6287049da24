//! A store in a file of SQLite. One process at a time writes, and all that have the
//! file open read meanwhile: SQLite's write-ahead log.

mod backup;
mod layout;
mod schema;

use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use backup::{Copied, Older, backup, restore};
#[cfg(test)]
pub use schema::in_memory;
pub use schema::{connect, connect_reader, data_version, open, with_suffix};

use super::StorageError;
use super::cell::{Cell, Row};

pub fn reading(connection: &mut Connection) -> Result<Transaction<'_>, StorageError> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Deferred)?)
}

/// Takes the write lock at once, because a transaction that reads first cannot wait for
/// another writer later: it would have to start again.
pub fn writing(connection: &mut Connection) -> Result<Transaction<'_>, StorageError> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

pub fn query(
    connection: &Connection,
    sql: &str,
    parameters: &[Cell],
) -> Result<Vec<Row>, StorageError> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| {
        let cells = (0..columns).map(|n| row.get(n));
        Ok(Row::new(cells.collect::<rusqlite::Result<_>>()?))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub fn execute(
    connection: &Connection,
    sql: &str,
    parameters: &[Cell],
) -> Result<(), StorageError> {
    let mut statement = connection.prepare_cached(sql)?;
    statement.execute(rusqlite::params_from_iter(parameters))?;
    Ok(())
}

/// SQLite's log still holds rows as they were, so it is truncated. If a reader prevents
/// that, a later checkpoint does it.
pub fn truncate_log(connection: &Connection) {
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
}
