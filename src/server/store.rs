//! The secret stores that the configuration names.

use std::sync::Arc;

use tracing::warn;

use crate::config::{self, StoreKind};
use crate::secret::{
    AgentStore, AwsStore, FilesStore, Marker, SecretStore, StoreError, Stores, VaultStore,
    batch_window, store_title,
};
use crate::vault::api::{Api, Trail};
use crate::vault::{EmbeddedStore, Key, KeySource, OpenError, Vault};

/// Opens every store of a configuration, for a command; calls of embedded stores are recorded
/// in `trail`.
///
/// # Errors
/// [`StoreError`], which names the store.
pub async fn open_stores(config: &config::Stores, trail: &Trail) -> Result<Stores, StoreError> {
    let stores = Stores::default();
    for (name, store) in config.iter() {
        let trail = trail.clone().of_store(name.clone());
        let opened = open_store_with(store, trail).await;
        let (store, _) = opened.map_err(|e| match name {
            Some(_) => e.of_named(&store_title(name.as_deref())),
            None => e,
        })?;
        stores.add(name.clone(), store);
    }
    Ok(stores)
}

/// Opens a secret store, records calls of an embedded store in `trail`, and returns the API of
/// an embedded store, to be served. Makes an embedded store if there is none yet. AWS is not asked
/// anything here, so that a proxy can start while AWS cannot be reached.
///
/// # Errors
/// [`StoreError`]
pub async fn open_store_with(
    config: &config::Store,
    trail: Trail,
) -> Result<(Arc<dyn SecretStore>, Option<Arc<Api>>), StoreError> {
    Ok(match &config.kind {
        StoreKind::Embedded { path, key, .. } => {
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
        StoreKind::Agent { url, token_file } => (Arc::new(AgentStore::new(url, token_file)?), None),
        StoreKind::Vault { options, key } => {
            let store = VaultStore::connect(options.clone(), marker(key).await?)?;
            (Arc::new(store), None)
        }
        StoreKind::Files { path, key } => {
            let store = FilesStore::open(path, marker(key).await?);
            (Arc::new(store), None)
        }
    })
}

/// What makes the ids of versions for a store that has none. Where no file can be made
/// for its key, ids are of this process only.
async fn marker(key: &KeySource) -> Result<Marker, StoreError> {
    let source = key.clone();
    let read = tokio::task::spawn_blocking(move || source.read_or_create()).await;
    let key = match read.map_err(|e| StoreError::Internal(e.to_string()))? {
        Ok(key) => key,
        Err(why @ OpenError::Io { .. }) => {
            warn!(
                "ids of versions will be others after the next start, and those of other replicas \
                 are others: {why}; see the key_file of the store"
            );
            Key::generate().ok_or(OpenError::NoRandomness)?
        }
        Err(e) => return Err(e.into()),
    };
    Ok(Marker::new(key.bytes()))
}
