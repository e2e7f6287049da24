//! Secrets, their versions, and the credentials inside them.
//!
//! The vocabulary is that of AWS Secrets Manager: a secret has versions, and
//! staging labels point at versions. A [`Credential`] is the immutable content
//! of one version. A server connection keeps the credential it logged in with
//! for as long as it lives, so that "which version is this connection on" is
//! never a question of timing.

mod aws;
mod credential;
mod files;
mod follower;
mod id;
mod mark;
mod metrics;
pub mod schedule;
mod seen;
mod store;
mod stores;
mod vault_api;
mod versions;

pub use aws::{AgentStore, AwsStore, BATCH};
pub use credential::{Credential, MalformedSecret, Password, UpstreamAuth, unread_field};
pub use files::FilesStore;
pub use follower::{Depth, Follower, Found, Known};
pub use id::{SecretId, VersionId, is_whole, secret_name};
pub use mark::Marker;
pub use store::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, CurrentFuture, Deletion, Description, Labels, Manage,
    NewSecret, Policies, RandomPassword, Rotatable, RotationRules, SecretStore, SecretValue,
    Source, StoreError, StoreFuture, Which, version_with,
};
pub use stores::{StoreName, Stores, store_title};
pub use vault_api::{VaultAuth, VaultOptions, VaultStore};
pub use versions::Standing;

use std::time::Duration;

/// How long a look that nobody waits for may wait to share its call with looks
/// at other secrets, given how often secrets are looked at.
pub fn batch_window(refresh: Duration) -> Duration {
    (refresh / 4).min(Duration::from_secs(3))
}
