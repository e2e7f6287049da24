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
mod embedded;
mod follower;
mod id;
mod roll;
pub mod schedule;
mod store;
mod versions;

pub use aws::AwsStore;
pub use credential::{Credential, MalformedSecret, Password, UpstreamAuth};
pub use embedded::EmbeddedStore;
pub use follower::{Depth, Follower, Found, Known, Labels};
pub use id::{SecretId, VersionId, is_whole, secret_name};
pub use roll::MOST as BATCH;
pub use store::{
    AWSCURRENT, AWSPENDING, AWSPREVIOUS, CurrentFuture, Deletion, Description, NewSecret,
    RandomPassword, RotationRules, SecretStore, SecretValue, StoreError, StoreFuture, Which,
};
pub use versions::Standing;

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, StoreKind};
use crate::vault::Vault;
use crate::vault::api::{Api, Trail};

/// The store that the configuration names. An embedded store is made where
/// there is none yet; AWS is not asked anything here, so that a proxy can start
/// while it cannot be reached.
pub async fn open(config: &config::Store) -> Result<Arc<dyn SecretStore>, StoreError> {
    Ok(open_with(config, Trail::default()).await?.0)
}

/// The same, with the log in which calls of an embedded store are recorded, and
/// with its API, for others to call.
pub async fn open_with(
    config: &config::Store,
    trail: Trail,
) -> Result<(Arc<dyn SecretStore>, Option<Arc<Api>>), StoreError> {
    Ok(match &config.kind {
        StoreKind::Embedded { path, key } => {
            let vault = Vault::open(path, key.clone()).await?;
            let api = Api::new(vault, trail);
            (Arc::new(EmbeddedStore::connect(&api)), Some(api))
        }
        StoreKind::Aws {
            region,
            endpoint_url,
            profile,
        } => {
            let (region, endpoint, profile) = (
                region.as_deref(),
                endpoint_url.as_deref(),
                profile.as_deref(),
            );
            let store = AwsStore::connect(region, endpoint, profile).await?;
            let window = asking_together_within(config.refresh);
            (Arc::new(store.asking_together_within(window)), None)
        }
    })
}

/// How long a look that nobody waits for may wait for others.
pub fn asking_together_within(refresh: Duration) -> Duration {
    (refresh / 4).min(Duration::from_secs(3))
}
