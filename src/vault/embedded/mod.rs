//! The embedded store as pgvalet itself uses it: the operations of its API,
//! called with their own types. What is true of a call over HTTP (checks, labels,
//! the trail) is true of a call from here, because it is the same operation.

mod source;
mod write;

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::api::{Api, Operation, Trail};
use super::{KeySource, OpenError, Vault};
use crate::secret::{Manage, Policies, Rotatable, SecretStore, StoreError};

/// The client of an embedded store in this process.
pub struct EmbeddedStore(Arc<Api>);

impl EmbeddedStore {
    /// Opens the store without a trail, creating file and key where there is
    /// nothing yet. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// What [`OpenError`] says, as a [`StoreError`].
    pub async fn open(path: &Path, key: impl Into<KeySource>) -> Result<Self, StoreError> {
        let vault = Vault::open(path, key).await?;
        Ok(Self::new(Api::new(vault, Trail::default())))
    }

    pub fn new(api: Arc<Api>) -> Self {
        Self(api)
    }

    /// Runs an operation. Errors begin with `place`: the secret that they are
    /// about, or nothing.
    async fn call<O>(&self, place: &str, request: O) -> Result<O::Answer, StoreError>
    where
        O: Operation + Serialize + Send + 'static,
        O::Answer: Send + 'static,
    {
        self.0.clone().own(request).await.map_err(|e| {
            let text = format!("{place}{}", e.message);
            StoreError::of_api(e.kind, e.status().as_u16(), text)
        })
    }
}

impl SecretStore for EmbeddedStore {
    fn name(&self) -> &'static str {
        "the embedded store"
    }

    fn rotatable(&self) -> Result<&dyn Rotatable, StoreError> {
        Ok(self)
    }

    fn manage(&self) -> Result<&dyn Manage, StoreError> {
        Ok(self)
    }

    fn policies(&self) -> Result<&dyn Policies, StoreError> {
        Ok(self)
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
