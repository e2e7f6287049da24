//! One transaction, on which the operations of the other files work.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::key::Key;
use super::{VaultError, delete};

/// Milliseconds since the Unix epoch.
pub type Millis = i64;

pub const DAY: Millis = 24 * 60 * 60 * 1000;

/// A transaction with the master key and the one time that counts as now. Dropped
/// without [`Tx::commit`], it changes nothing.
pub struct Tx<'a> {
    pub sql: Transaction<'a>,
    pub master: &'a Key,
    pub now: Millis,
}

impl<'a> Tx<'a> {
    /// Begins a transaction that only reads.
    pub fn reading(
        connection: &'a mut Connection,
        master: &'a Key,
        now: Millis,
    ) -> Result<Self, VaultError> {
        Ok(Self {
            sql: connection.transaction_with_behavior(TransactionBehavior::Deferred)?,
            master,
            now,
        })
    }

    /// Begins a transaction that writes. It takes the write lock at once, because a
    /// transaction that reads first cannot wait for another writer later: it would
    /// have to start again. It purges deleted secrets first.
    pub fn writing(
        connection: &'a mut Connection,
        master: &'a Key,
        now: Millis,
    ) -> Result<Self, VaultError> {
        let tx = Self {
            sql: connection.transaction_with_behavior(TransactionBehavior::Immediate)?,
            master,
            now,
        };
        delete::purge(&tx)?;
        Ok(tx)
    }

    pub fn commit(self) -> Result<(), VaultError> {
        Ok(self.sql.commit()?)
    }
}

pub fn now() -> Millis {
    millis(SystemTime::now())
}

pub fn time(at: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or(0))
}

pub fn millis(at: SystemTime) -> Millis {
    at.duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| Millis::try_from(d.as_millis()).ok())
        .unwrap_or(0)
}
