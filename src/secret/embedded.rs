//! The embedded store behind the trait.

use std::path::Path;
use std::time::SystemTime;

use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{
    Deletion, Description, NewSecret, RandomPassword, SecretId, SecretStore, SecretValue,
    StoreError, StoreFuture, VersionId, Which,
};
use crate::vault::{KeySource, OpenError, Value, Vault, VaultError};

pub struct EmbeddedStore {
    vault: Vault,
}

impl EmbeddedStore {
    /// Opens the store, making file and key where there is nothing yet.
    pub async fn open(path: &Path, key: impl Into<KeySource>) -> Result<Self, StoreError> {
        let vault = Vault::open(path, key).await?;
        Ok(Self { vault })
    }

    pub fn vault(&self) -> &Vault {
        &self.vault
    }
}

impl From<OpenError> for StoreError {
    fn from(error: OpenError) -> Self {
        let text = error.to_string();
        match error {
            OpenError::KeyMissing { .. }
            | OpenError::KeyUnset(_)
            | OpenError::Altered { .. }
            | OpenError::KeyExposed(..)
            | OpenError::KeyMalformed(_)
            | OpenError::KeyWrong { .. } => Self::Decryption(text),
            OpenError::NotAStore(_) | OpenError::Newer(..) => Self::InvalidParameter(text),
            OpenError::Busy(_) | OpenError::InUse(_) | OpenError::Kms { .. } => {
                Self::Unavailable(text)
            }
            OpenError::Exists(_) => Self::InvalidRequest(text),
            OpenError::Damaged(..)
            | OpenError::Io { .. }
            | OpenError::NoRandomness
            | OpenError::Sqlite(..) => Self::Internal(text),
        }
    }
}

impl From<VaultError> for StoreError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::ResourceNotFound(text) => Self::NotFound(text),
            VaultError::ResourceExists(text) => Self::Exists(text),
            VaultError::InvalidParameter(text) => Self::InvalidParameter(text),
            VaultError::InvalidRequest(text) | VaultError::LimitExceeded(text) => {
                Self::InvalidRequest(text)
            }
            VaultError::DecryptionFailure(text) => Self::Decryption(text),
            VaultError::Busy(text) => Self::Unavailable(text),
            VaultError::Internal(text) => Self::Internal(text),
        }
    }
}

impl SecretStore for EmbeddedStore {
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue> {
        Box::pin(async move {
            let (version, stage) = match which {
                Which::Stage(stage) => (None, Some(stage.clone())),
                Which::Version(version) => (Some(version.clone()), None),
            };
            let version = self
                .vault
                .get(id.to_string(), version, stage)
                .await
                .map_err(|e| StoreError::from(e).about(id))?;
            let Value::Text(value) = version.value else {
                return Err(StoreError::binary(id));
            };
            Ok(SecretValue {
                arn: version.arn,
                name: version.name,
                version: version.id,
                stages: version.stages,
                created: Some(version.created),
                value,
            })
        })
    }

    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description> {
        Box::pin(async move {
            let described = self.vault.describe(id.to_string()).await;
            described.map_err(|e| StoreError::from(e).about(id))
        })
    }

    fn create(&self, secret: NewSecret) -> StoreFuture<'_, VersionId> {
        Box::pin(async move {
            let id = SecretId::new(secret.name.as_str());
            let value = Value::Text(secret.value);
            let created = self
                .vault
                .create(secret.name, secret.description, value, secret.token)
                .await;
            created.map_err(|e| StoreError::from(e).about(&id))
        })
    }

    fn put<'a>(
        &'a self,
        id: &'a SecretId,
        value: Zeroizing<String>,
        stages: Vec<String>,
        token: Option<VersionId>,
    ) -> StoreFuture<'a, VersionId> {
        Box::pin(async move {
            let put = self
                .vault
                .put(id.to_string(), Value::Text(value), stages, token)
                .await;
            put.map_err(|e| StoreError::from(e).about(id))
        })
    }

    fn list(&self) -> StoreFuture<'_, Vec<Description>> {
        Box::pin(async move { Ok(self.vault.list(false).await?) })
    }

    fn move_stage<'a>(
        &'a self,
        id: &'a SecretId,
        label: &'a str,
        to: Option<VersionId>,
        from: Option<VersionId>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let moved = self
                .vault
                .update_version_stage(id.to_string(), label.to_owned(), to, from)
                .await;
            moved.map_err(|e| StoreError::from(e).about(id))
        })
    }

    fn random_password(&self, options: RandomPassword) -> StoreFuture<'_, Zeroizing<String>> {
        Box::pin(async move { Ok(self.vault.random_password(&options)?) })
    }

    fn delete<'a>(
        &'a self,
        id: &'a SecretId,
        how: Deletion,
    ) -> StoreFuture<'a, Option<SystemTime>> {
        Box::pin(async move {
            let deleted = self.vault.delete(id.to_string(), how).await;
            deleted.map(Some).map_err(|e| StoreError::from(e).about(id))
        })
    }

    fn restore<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let restored = self.vault.restore(id.to_string()).await;
            restored.map_err(|e| StoreError::from(e).about(id))
        })
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.vault.changes())
    }
}
