//! Transactions on the open store, under the key that is in use.

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;
use tokio::sync::watch;

use super::keyring::Keyring;
use super::readers::Readers;
use super::tx::{self, Tx};
use super::{VaultError, delete, schema};

/// How often the key may change under one operation before it is given up.
const KEY_CHANGES: usize = 3;

/// What all clones of a vault share.
pub struct Shared {
    /// Closed before `connection`, which removes SQLite's log when it closes.
    pub(super) readers: Readers,
    pub(super) connection: Mutex<Connection>,
    pub(super) keys: Keyring,
    pub(super) changes: watch::Sender<u64>,
}

impl Shared {
    /// The connection that writes. A panic in the middle of a transaction rolls
    /// that back and leaves the connection usable.
    pub fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock()
    }

    /// Runs an operation in a transaction that only reads.
    pub fn read<T, E: From<VaultError>>(
        &self,
        operation: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.readers.with(|connection| {
            for _ in 0..KEY_CHANGES {
                let unlocked = self.keys.current();
                let tx = Tx::reading(connection, &unlocked.master, tx::now())?;
                if schema::key_is_still(&tx.sql, &unlocked.check).map_err(VaultError::from)? {
                    return operation(&tx);
                }
                self.follow_key(&tx)?;
            }
            Err(VaultError::key_keeps_changing().into())
        })
    }

    /// Runs an operation in a transaction that writes, and commits it if it
    /// succeeds.
    pub fn write<T, E: From<VaultError>>(
        &self,
        operation: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.lock();
        for _ in 0..KEY_CHANGES {
            let unlocked = self.keys.current();
            let tx = Tx::writing(&mut connection, &unlocked.master, tx::now())?;
            if schema::key_is_still(&tx.sql, &unlocked.check).map_err(VaultError::from)? {
                let result = operation(&tx)?;
                tx.commit()?;
                drop(connection);
                self.changed();
                return Ok(result);
            }
            self.follow_key(&tx)?;
        }
        Err(VaultError::key_keeps_changing().into())
    }

    /// Loads the key under which the store is sealed now.
    fn follow_key(&self, tx: &Tx<'_>) -> Result<(), VaultError> {
        let check = schema::select_key_check(&tx.sql)?;
        self.keys
            .reload(check)
            .map_err(|e| VaultError::Internal(format!("the store was given another key: {e}")))
    }

    pub fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Removes secrets whose recovery window has ended. Takes the write lock only
    /// if there are any.
    pub fn purge(&self) -> Result<(), VaultError> {
        if self.read(delete::anything_to_purge)? {
            // Every transaction that writes purges first.
            self.write(|_| Ok::<_, VaultError>(()))?;
        }
        Ok(())
    }
}
