//! The embedded store as pgvalet itself uses it: the operations of its API,
//! called with their own types. What is true of a call over HTTP (checks, labels,
//! the trail) is true of a call from here, because it is the same operation.

mod source;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use serde::Serialize;

use super::api::{Api, Operation, Trail};
use super::{KeySource, Location, OpenError, Vault, VaultError};
use crate::secret::{Manage, Policies, Rotatable, SecretId, SecretStore, StoreError, secret_name};

/// The client of an embedded store in this process.
pub struct EmbeddedStore(Arc<Api>);

impl EmbeddedStore {
    /// Opens the store without a trail, creating file and key where there is
    /// nothing yet. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The [`OpenError`] as a [`StoreError`].
    pub async fn open(
        location: impl Into<Location>,
        key: impl Into<KeySource>,
    ) -> Result<Self, StoreError> {
        let vault = Vault::open(location, key).await?;
        Ok(Self::new(Api::new(vault, Trail::default())))
    }

    pub fn new(api: Arc<Api>) -> Self {
        Self(api)
    }

    /// Runs an operation. The texts of errors begin with the secret that they are
    /// about, where there is one.
    async fn call<O>(&self, id: Option<&SecretId>, request: O) -> Result<O::Answer, StoreError>
    where
        O: Operation + Serialize + Send + 'static,
        O::Answer: Send + 'static,
    {
        self.0.clone().own(request).await.map_err(|e| {
            let text = match id {
                Some(id) if e == VaultError::no_secret().into() => self.no_secret(id),
                Some(id) => format!("{id}: {}", e.message),
                None => e.message.clone(),
            };
            StoreError::of_api(e.kind, e.status().as_u16(), text)
        })
    }

    /// The text of the API's error for a secret that is not there, for people.
    fn no_secret(&self, id: &SecretId) -> String {
        let file = self.0.location();
        match secret_name(id.within()) {
            Some(_) => format!("there is no secret {id} in {file}"),
            None => format!(
                "there is no secret {id} in {file}; create it with: pgvalet secret create {id}"
            ),
        }
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

    fn requests_rotation(&self) -> bool {
        true
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
            | OpenError::KeyElsewhere { .. }
            | OpenError::KeyOther { .. }
            | OpenError::KeyWrong { .. } => Self::Decryption(text),
            OpenError::Storage(_, error) if error.is_temporary() => Self::Unavailable(text),
            OpenError::None(_) => Self::NotFound(text),
            OpenError::NotAStore(_) | OpenError::Newer(..) => Self::InvalidParameter(text),
            OpenError::Busy(_) | OpenError::InUse(_) | OpenError::Kms { .. } => {
                Self::Unavailable(text)
            }
            OpenError::Exists(_) => Self::InvalidRequest(text),
            OpenError::Damaged(..)
            | OpenError::Io { .. }
            | OpenError::NoRandomness
            | OpenError::Unfinished(..)
            | OpenError::Storage(..) => Self::Internal(text),
        }
    }
}
