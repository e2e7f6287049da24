//! What pgvalet needs of a place that keeps secrets, by what it is needed for.
//!
//! Following a secret takes a [`Source`]; changing its password takes a
//! [`Rotatable`]; `pgvalet secret` works with [`Manage`] and [`Policies`] as
//! well. A [`SecretStore`] is a source that says which of the others it is, so
//! that whoever needs more than it can do gets an error that a person can read.
//!
//! A new kind of store is a file with its implementation, its name in
//! `secret/mod.rs`, its keys in `config`, and a line in `server/store.rs`.

mod error;
#[cfg(test)]
mod tests;
mod values;

use std::pin::Pin;
use std::time::SystemTime;

use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{SecretId, VersionId};

pub use error::StoreError;
pub use values::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, Deletion, Description, Labels, NewSecret, RandomPassword,
    RotationRules, SecretValue, Which, version_with,
};

pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

pub type CurrentFuture<'a> = Pin<Box<dyn Future<Output = Option<VersionId>> + Send + 'a>>;

/// Reading secrets: all that a proxy needs to follow them.
pub trait Source: Send + Sync + 'static {
    /// One version with its value (GetSecretValue).
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue>;

    /// A secret with its labels and without its values (DescribeSecret).
    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description>;

    /// All secrets, ordered by name (ListSecrets, all pages).
    fn list(&self) -> StoreFuture<'_, Vec<Description>>;

    /// The version that AWSCURRENT points at, from a store that answers for
    /// many secrets at once; the answer may take seconds. `None`: the caller
    /// has to ask for this secret alone.
    fn current<'a>(&'a self, _: &'a SecretId) -> CurrentFuture<'a> {
        Box::pin(async { None })
    }

    /// All versions, those without a label as well, the newest first
    /// (ListSecretVersionIds with IncludeDeprecated). A store that cannot tell
    /// returns the labelled ones.
    fn versions<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Vec<VersionId>> {
        Box::pin(async move { Ok(self.describe(id).await?.versions.into_keys().collect()) })
    }

    /// A counter that moves whenever anything in the store changes, whichever
    /// process changed it. `None`: the store does not tell, and is polled.
    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }
}

/// Writing versions and moving labels: what a rotation needs.
pub trait Rotatable: Source {
    /// Stores a new version (PutSecretValue); without labels it becomes
    /// AWSCURRENT. The token becomes the VersionId and makes a repeated request
    /// harmless; without one the store makes it up.
    fn put<'a>(
        &'a self,
        id: &'a SecretId,
        value: Zeroizing<String>,
        labels: Vec<String>,
        token: Option<VersionId>,
    ) -> StoreFuture<'a, VersionId>;

    /// Moves a label from one version to another (UpdateSecretVersionStage).
    fn move_label<'a>(
        &'a self,
        id: &'a SecretId,
        label: &'a str,
        to: Option<VersionId>,
        from: Option<VersionId>,
    ) -> StoreFuture<'a, ()>;

    /// A password by the store's rules (GetRandomPassword).
    fn random_password(&self, options: RandomPassword) -> StoreFuture<'_, Zeroizing<String>>;
}

/// Creating and deleting secrets.
pub trait Manage: Source {
    /// Creates a secret; returns the id of its first version (CreateSecret).
    fn create(&self, secret: NewSecret) -> StoreFuture<'_, VersionId>;

    /// Deletes a secret; returns when it is gone for good (DeleteSecret).
    fn delete<'a>(&'a self, id: &'a SecretId, how: Deletion)
    -> StoreFuture<'a, Option<SystemTime>>;

    /// Takes back a deletion within its recovery window (RestoreSecret).
    fn restore<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, ()>;
}

/// Resource policies: who may do what with a secret.
pub trait Policies: Source {
    /// The policy of a secret, if it has one (GetResourcePolicy).
    fn policy<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Option<String>>;

    /// Attaches a policy (PutResourcePolicy). With `block_public` a policy that
    /// lets in everybody is refused.
    fn put_policy<'a>(
        &'a self,
        id: &'a SecretId,
        text: String,
        block_public: bool,
    ) -> StoreFuture<'a, ()>;

    /// Removes the policy (DeleteResourcePolicy).
    fn delete_policy<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, ()>;

    /// Checks a policy without attaching it (ValidateResourcePolicy). Returns
    /// the names of the checks that failed, each with the reason.
    fn validate_policy<'a>(
        &'a self,
        id: &'a SecretId,
        text: String,
    ) -> StoreFuture<'a, Vec<(String, String)>>;
}

/// A configured store. What it can do beyond reading is asked of it, never
/// inferred from anything else; by default it can do nothing else.
///
/// # Errors
/// The methods that give access to a part return [`StoreError::Unsupported`]
/// where the store does not have that part. The text says what to do instead.
pub trait SecretStore: Source {
    /// What messages call the store: "AWS Secrets Manager".
    fn name(&self) -> &'static str;

    fn rotatable(&self) -> Result<&dyn Rotatable, StoreError> {
        Err(StoreError::Unsupported(format!(
            "pgvalet can only read secrets in {}, and can neither change nor rotate them; \
             change them where they are kept, and pgvalet follows",
            self.name()
        )))
    }

    fn manage(&self) -> Result<&dyn Manage, StoreError> {
        Err(StoreError::Unsupported(format!(
            "pgvalet cannot create or delete secrets in {}; do it where they are kept",
            self.name()
        )))
    }

    fn policies(&self) -> Result<&dyn Policies, StoreError> {
        Err(StoreError::Unsupported(format!(
            "there are no resource policies in {}; it decides in its own way who may do what",
            self.name()
        )))
    }

    /// A sentence for people about what is doubtful in how the store keeps a secret that was read.
    fn doubt(&self, _: &SecretId) -> Option<String> {
        None
    }

    /// Whether RotateSecret on this store is a request to pgvalet: it saves the
    /// schedule, or reserves a version under AWSPENDING, and a proxy does the rest.
    /// Otherwise the store has a rotation function of its own, or none.
    fn requests_rotation(&self) -> bool {
        false
    }
}
