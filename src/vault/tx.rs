//! One transaction, on which the operations of the other files work.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::VaultError;
use super::envelope::Sealed;
use super::key::Key;
use super::storage::Rows;

/// Milliseconds since the Unix epoch.
pub type Millis = i64;

pub const DAY: Millis = 24 * 60 * 60 * 1000;

/// A transaction with the master key and the one time that counts as now. Dropped
/// without [`Tx::commit`], it changes nothing.
pub struct Tx<'a> {
    pub rows: Rows<'a>,
    pub master: &'a Key,
    pub now: Millis,
}

impl<'a> Tx<'a> {
    pub fn new(rows: Rows<'a>, master: &'a Key, now: Millis) -> Self {
        Self { rows, master, now }
    }

    /// Whether the store is still sealed under the key whose check this is. Every
    /// transaction asks, because another process may change the key.
    pub fn is_sealed_with(&self, check: &Sealed) -> Result<bool, VaultError> {
        Ok(self.rows.key_check()? == *check)
    }

    pub fn commit(self) -> Result<(), VaultError> {
        Ok(self.rows.commit()?)
    }

    /// Ends a transaction that has nothing to commit.
    pub fn end(self) {
        if let Err(error) = self.rows.rollback() {
            tracing::debug!(%error, "a transaction of the store did not end well");
        }
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
