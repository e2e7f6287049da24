//! Secrets, their versions, and the credentials inside them.
//!
//! The vocabulary is that of AWS Secrets Manager: a secret has versions, and
//! staging labels point at versions. A [`Credential`] is the immutable content
//! of one version; a server connection carries the credential it logged in
//! with for as long as it lives, so that "which version is this connection
//! on" is never a question of timing.

mod aws;
mod aws_error;
mod credential;
mod follower;
mod id;
mod metrics;
mod roll;
pub mod schedule;
mod store;
mod versions;

pub use aws::AwsStore;
pub use credential::{Credential, MalformedSecret, Password, UpstreamAuth};
pub use follower::{Depth, Follower, Found, Known, Labels};
pub use id::{SecretId, VersionId, is_whole, secret_name};
pub use roll::MOST as BATCH;
pub use store::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, CurrentFuture, Deletion, Description, NewSecret,
    RandomPassword, RotationRules, SecretStore, SecretValue, StoreError, StoreFuture, Which,
};
pub use versions::Standing;

use std::time::Duration;

/// How long a look that nobody waits for may wait for others.
pub fn asking_together_within(refresh: Duration) -> Duration {
    (refresh / 4).min(Duration::from_secs(3))
}
