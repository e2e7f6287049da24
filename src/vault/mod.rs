//! The embedded store: secrets with versions and staging labels as AWS Secrets
//! Manager has them, in one SQLite file.
//!
//! Every value is sealed with a data key of its own, and data keys are wrapped
//! with a master key ([`envelope`]). The file holds names,
//! labels and times in the clear: who can write to it can move labels, but can
//! neither read a value nor have one accepted that was not put there.
//!
//! Several processes may have the file open at once (the proxy and the command
//! line). Each operation is one transaction; a commit by any of them moves the
//! counter of [`Vault::changes`] in all of them.
//!
//! A file per concern: [`secrets`] (names, CreateSecret, DescribeSecret,
//! ListSecrets), [`versions`] (values), [`labels`], [`delete`], [`random`],
//! [`token`]; beneath them [`tx`], [`schema`], [`envelope`], and the master key:
//! [`key_source`] (where it is kept), [`keyring`] (the one in use).

pub mod api;
mod backup;
mod changes;
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
mod layout;
pub mod policy;
pub mod principals;
mod random;
mod readers;
mod rekey;
mod rotation;
mod schema;
mod sealed;
mod search;
mod secrets;
mod tags;
#[cfg(test)]
mod tests;
mod token;
mod tx;
mod versions;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;
use tokio::sync::watch;
use tokio::task::{AbortHandle, spawn_blocking};

use crate::secret::{Deletion, Description, VersionId};

pub use backup::{Copied, backup, restore};
pub use embedded::EmbeddedStore;
pub use error::{OpenError, VaultError};
pub use key_source::KeySource;
pub use rekey::{Rekeyed, rekey};
pub use versions::{Value, Version};

use keyring::{Keyring, Unlocked};
use readers::Readers;
use tx::Tx;

/// How often the key may change under one operation before it is given up.
const KEY_CHANGES: usize = 3;

/// The open store. Clones share it; it is closed when the last one is dropped.
#[derive(Clone)]
pub struct Vault {
    shared: Arc<Shared>,
    /// Ends the task that watches for the changes of other processes.
    _watcher: Arc<Watcher>,
}

struct Shared {
    /// Closed before the other one, which takes the log with it.
    readers: Readers,
    connection: Mutex<Connection>,
    keys: Keyring,
    changes: watch::Sender<u64>,
}

struct Watcher(AbortHandle);

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    /// A panic in the midst of a transaction has rolled it back: the
    /// connection is good.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock()
    }

    fn read<T, E: From<VaultError>>(
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

    fn write<T, E: From<VaultError>>(
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

    /// The store is sealed under another key than before.
    fn follow_key(&self, tx: &Tx<'_>) -> Result<(), VaultError> {
        let check = schema::select_key_check(&tx.sql)?;
        self.keys
            .reload(check)
            .map_err(|e| VaultError::Internal(format!("the store was given another key: {e}")))
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Removes what waited for its deletion long enough, writing only where
    /// there is something to remove.
    fn purge(&self) -> Result<(), VaultError> {
        if self.read(delete::anything_to_purge)? {
            self.write(|_| Ok::<_, VaultError>(()))?;
        }
        Ok(())
    }
}

impl Vault {
    /// Opens the store, making file, key and directories where there is
    /// nothing yet. Must be called within a Tokio runtime.
    pub async fn open(path: &Path, key: impl Into<KeySource>) -> Result<Self, OpenError> {
        let (at, source) = (path.to_owned(), key.into());
        let (path, key) = (at.clone(), source.clone());
        let opened = spawn_blocking(move || schema::open(&path, &key))
            .await
            .map_err(|e| OpenError::Io {
                doing: "open the store",
                path: at.clone(),
                source: std::io::Error::other(e),
            })??;
        let unlocked = Unlocked {
            master: opened.master,
            check: opened.key_check,
        };
        let data_version = opened.data_version;
        let shared = Arc::new(Shared {
            readers: Readers::new(&at),
            connection: Mutex::new(opened.connection),
            keys: Keyring::new(source, at, unlocked),
            changes: watch::Sender::new(0),
        });
        let task = tokio::spawn(changes::follow(Arc::downgrade(&shared), data_version));
        Ok(Self {
            shared,
            _watcher: Arc::new(Watcher(task.abort_handle())),
        })
    }

    /// A counter that moves at every commit: at once for those of this
    /// process, within about 200 ms for those of others.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    async fn read<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Tx<'_>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let shared = self.shared.clone();
        joined(spawn_blocking(move || shared.read(operation)).await)
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Tx<'_>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let shared = self.shared.clone();
        joined(spawn_blocking(move || shared.write(operation)).await)
    }

    /// CreateSecret.
    pub async fn create(
        &self,
        name: String,
        description: Option<String>,
        value: Value,
        token: Option<VersionId>,
    ) -> Result<VersionId, VaultError> {
        self.write(move |tx| {
            let token = token.as_ref().map(VersionId::as_str);
            let new = secrets::New {
                name: &name,
                description: description.as_deref(),
                value: Some(&value),
                token,
                ..Default::default()
            };
            let (_, version) = secrets::create(tx, &new)?;
            version.ok_or_else(|| VaultError::Internal("a value made no version".into()))
        })
        .await
    }

    /// GetSecretValue; AWSCURRENT where neither version nor stage is given.
    pub async fn get(
        &self,
        id: String,
        version: Option<VersionId>,
        stage: Option<String>,
    ) -> Result<Version, VaultError> {
        self.read(move |tx| {
            let version = version.as_ref().map(VersionId::as_str);
            let secret = secrets::find_live(tx, &id)?;
            versions::get(tx, &secret, version, stage.as_deref())
        })
        .await
    }

    /// PutSecretValue; AWSCURRENT where no stage is given.
    pub async fn put(
        &self,
        id: String,
        value: Value,
        stages: Vec<String>,
        token: Option<VersionId>,
    ) -> Result<VersionId, VaultError> {
        self.write(move |tx| {
            let secret = secrets::find_live(tx, &id)?;
            let token = token.as_ref().map(VersionId::as_str);
            versions::put(tx, &secret, &value, &stages, token)
        })
        .await
    }

    /// DescribeSecret.
    pub async fn describe(&self, id: String) -> Result<Description, VaultError> {
        self.read(move |tx| secrets::describe(tx, &id)).await
    }

    /// ListSecrets, ordered by name.
    pub async fn list(
        &self,
        include_planned_deletion: bool,
    ) -> Result<Vec<Description>, VaultError> {
        self.read(move |tx| {
            let all = search::Search {
                filters: Vec::new(),
                planned_deletion: include_planned_deletion,
                sort_by: search::SortBy::Name,
                descending: false,
                after: None,
                limit: usize::MAX,
            };
            let found = search::search(tx, &all)?.secrets.into_iter();
            found.map(|secret| secrets::described(tx, secret)).collect()
        })
        .await
    }

    /// UpdateSecretVersionStage.
    pub async fn update_version_stage(
        &self,
        id: String,
        label: String,
        to: Option<VersionId>,
        from: Option<VersionId>,
    ) -> Result<(), VaultError> {
        self.write(move |tx| {
            let (to, from) = (to.as_ref(), from.as_ref());
            labels::update(
                tx,
                &secrets::find_live(tx, &id)?,
                &label,
                to.map(VersionId::as_str),
                from.map(VersionId::as_str),
            )
        })
        .await
    }

    /// DeleteSecret; when it will be gone.
    pub async fn delete(&self, id: String, how: Deletion) -> Result<SystemTime, VaultError> {
        self.write(move |tx| match delete::find(tx, &id, how)? {
            Some(secret) => delete::delete(tx, &secret, how),
            None => Ok(tx.now),
        })
        .await
        .map(tx::time)
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
