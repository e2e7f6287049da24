//! The store of secrets that the configuration names.

use std::sync::Arc;

use crate::config::{self, StoreKind};
use crate::secret::{AwsStore, SecretStore, StoreError, batch_window};
use crate::vault::api::{Api, Trail};
use crate::vault::{EmbeddedStore, Vault};

/// The store that the configuration names. An embedded store is made where
/// there is none yet; AWS is not asked anything here, so that a proxy can start
/// while it cannot be reached.
pub async fn open_store(config: &config::Store) -> Result<Arc<dyn SecretStore>, StoreError> {
    Ok(open_store_with(config, Trail::default()).await?.0)
}

/// The same, with the log in which calls of an embedded store are recorded, and
/// with its API, for others to call.
pub async fn open_store_with(
    config: &config::Store,
    trail: Trail,
) -> Result<(Arc<dyn SecretStore>, Option<Arc<Api>>), StoreError> {
    Ok(match &config.kind {
        StoreKind::Embedded { path, key } => {
            let vault = Vault::open(path, key.clone()).await?;
            let api = Api::new(vault, trail);
            (Arc::new(EmbeddedStore::new(api.clone())), Some(api))
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
            let window = batch_window(config.refresh);
            (Arc::new(store.with_batch_window(window)), None)
        }
    })
}
