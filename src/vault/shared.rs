//! Transactions on the open store, under the key that is in use.

use tokio::sync::watch;

use super::keyring::Keyring;
use super::storage::Storage;
use super::tx::{self, Tx};
use super::{VaultError, delete};

/// How often the key may change under one operation before it is given up.
const KEY_CHANGES: usize = 3;

/// What all clones of a vault share.
pub struct Shared {
    pub(super) storage: Storage,
    pub(super) keys: Keyring,
    pub(super) changes: watch::Sender<u64>,
}

impl Shared {
    /// Runs an operation in a transaction that only reads.
    pub fn read<T, E: From<VaultError>>(
        &self,
        operation: impl FnOnce(&Tx<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.storage.with_reader(|connection| {
            for _ in 0..KEY_CHANGES {
                let unlocked = self.keys.current();
                let rows = connection.reading().map_err(VaultError::from)?;
                let tx = Tx::new(rows, &unlocked.master, tx::now());
                if tx.is_sealed_with(&unlocked.check)? {
                    let result = operation(&tx);
                    tx.end();
                    return result;
                }
                self.follow_key(&tx)?;
                tx.end();
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
        let result = self.storage.with_writer(|connection| {
            for _ in 0..KEY_CHANGES {
                let unlocked = self.keys.current();
                let rows = connection.writing().map_err(VaultError::from)?;
                let tx = Tx::new(rows, &unlocked.master, tx::now());
                if tx.is_sealed_with(&unlocked.check)? {
                    return perform(tx, operation);
                }
                self.follow_key(&tx)?;
                tx.end();
            }
            Err(VaultError::key_keeps_changing().into())
        })?;
        self.changed();
        Ok(result)
    }

    /// Loads the key under which the store is sealed now.
    fn follow_key(&self, tx: &Tx<'_>) -> Result<(), VaultError> {
        let check = tx.rows.key_check()?;
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

/// Purges deleted secrets, then does the work, and commits both.
pub(super) fn perform<T, E: From<VaultError>>(
    tx: Tx<'_>,
    operation: impl FnOnce(&Tx<'_>) -> Result<T, E>,
) -> Result<T, E> {
    match delete::purge(&tx)
        .map_err(E::from)
        .and_then(|()| operation(&tx))
    {
        Ok(result) => {
            tx.commit()?;
            Ok(result)
        }
        Err(error) => {
            tx.end();
            Err(error)
        }
    }
}
