//! The embedded store: secrets with versions and staging labels as AWS Secrets
//! Manager has them, in one SQLite file or in a schema of a PostgreSQL database
//! ([`storage`]).
//!
//! Every value is sealed with a data key of its own, and data keys are wrapped
//! with a master key ([`envelope`]). Names, labels and times are in the clear:
//! whoever can write to the file can move labels, but can neither read a value
//! nor have one accepted that was not put there.
//!
//! Several processes may have the store open at once (the proxy and the command
//! line; other replicas). Each operation is one transaction ([`tx`], [`shared`]); a commit by any
//! of them moves the counter of [`Vault::changes`] in all of them.
//!
//! The rules are in a file for each concern: [`secrets`] (names, creating,
//! describing), [`versions`] (values), [`labels`], [`delete`], [`random`],
//! [`token`], [`policy`]. Both ways to them are operations of the [`api`]: over
//! HTTP, or from pgvalet itself ([`embedded`]). The master key is in
//! [`key_source`] (where it is kept) and [`keyring`] (the one in use).

pub mod api;
mod changes;
mod copy;
mod delete;
mod draft;
mod embedded;
mod envelope;
mod error;
mod key;
mod key_source;
mod keyring;
mod kms;
mod labels;
mod operations;
pub mod policy;
pub mod principals;
mod random;
mod rekey;
mod rotation;
mod sealed;
mod search;
mod secrets;
mod shared;
mod storage;
mod tags;
#[cfg(test)]
mod tests;
mod token;
mod tx;
mod versions;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{AbortHandle, spawn_blocking};

pub use copy::{CopyError, Moved, Place, copy};
pub use embedded::EmbeddedStore;
pub use error::{OpenError, VaultError};
pub use key::Key;
pub use key_source::KeySource;
pub use rekey::{Rekeyed, rekey};
pub use storage::{Copied, Location, Older, ServerUrl, backup, exists, restore};
pub use versions::{Value, Version};

use keyring::{Keyring, Unlocked};
use shared::Shared;
use tx::Tx;

/// The open store. Clones share it; it is closed when the last one is dropped.
#[derive(Clone)]
pub struct Vault {
    shared: Arc<Shared>,
    /// Ends the task that watches for the changes of other processes.
    _watcher: Arc<Watcher>,
}

struct Watcher(AbortHandle);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Vault {
    /// Opens the store, creating file, key and directories where there is nothing
    /// yet. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`]. Nothing was overwritten then.
    pub async fn open(
        location: impl Into<Location>,
        key: impl Into<KeySource>,
    ) -> Result<Self, OpenError> {
        let (location, source) = (location.into(), key.into());
        let (at, key) = (location.clone(), source.clone());
        let opened = spawn_blocking(move || {
            let opened = storage::open(&at, &key)?;
            let seen = opened.storage.others_commits().map_err(|e| e.at(&at))?;
            Ok((opened, seen))
        })
        .await
        .unwrap_or_else(|e| Err(OpenError::Unfinished(location.clone(), e.to_string())));
        let (opened, seen) = opened?;
        let unlocked = Unlocked {
            master: opened.master,
            check: opened.key_check,
        };
        let shared = Arc::new(Shared {
            storage: opened.storage,
            keys: Keyring::new(source, location, unlocked),
            changes: watch::Sender::new(0),
        });
        let task = tokio::spawn(changes::follow(Arc::downgrade(&shared), seen));
        Ok(Self {
            shared,
            _watcher: Arc::new(Watcher(task.abort_handle())),
        })
    }

    /// A counter that moves at every commit: at once for commits of this process,
    /// within about 200 ms for those of others.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Tx<'_>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let shared = self.shared.clone();
        let _turn = self.shared.storage.turn().await;
        joined(spawn_blocking(move || shared.read(operation)).await)
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Tx<'_>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let shared = self.shared.clone();
        let _turn = self.shared.storage.turn().await;
        joined(spawn_blocking(move || shared.write(operation)).await)
    }
}

fn joined<T>(
    result: Result<Result<T, VaultError>, tokio::task::JoinError>,
) -> Result<T, VaultError> {
    result.unwrap_or_else(|e| {
        Err(VaultError::Internal(format!(
            "an operation of the embedded store did not finish: {e}"
        )))
    })
}
