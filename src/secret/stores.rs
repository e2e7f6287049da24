//! The stores of a configuration, by their names.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::store::{CurrentFuture, Description, SecretValue, StoreFuture};
use super::{SecretId, SecretStore, Source, StoreError, VersionId, Which};

/// The name of a store; `None`: the default store, `[store]`.
pub type StoreName = Option<Arc<str>>;

/// The table of a store in the configuration.
pub fn store_title(name: Option<&str>) -> String {
    match name {
        Some(name) => format!("[store.{name}]"),
        None => "[store]".to_owned(),
    }
}

/// All stores that are open. Clones share them, so that everybody sees a store that is added.
#[derive(Clone, Default)]
pub struct Stores(Arc<RwLock<BTreeMap<StoreName, Arc<dyn SecretStore>>>>);

impl Stores {
    /// The default store alone.
    pub fn only(store: Arc<dyn SecretStore>) -> Self {
        let stores = Self::default();
        stores.add(None, store);
        stores
    }

    pub fn add(&self, name: StoreName, store: Arc<dyn SecretStore>) {
        self.0.write().insert(name, store);
    }

    /// Forgets a store. Whoever uses it goes on with it.
    pub fn remove(&self, name: &StoreName) {
        self.0.write().remove(name);
    }

    /// The store with this name; `None`: the default store.
    ///
    /// # Errors
    /// There is no such store.
    pub fn named(&self, name: Option<&str>) -> Result<Arc<dyn SecretStore>, StoreError> {
        let stores = self.0.read();
        let found = stores.iter().find(|(n, _)| n.as_deref() == name);
        found.map(|(_, store)| store.clone()).ok_or_else(|| {
            let title = store_title(name);
            StoreError::NotFound(format!("there is no {title} in the configuration"))
        })
    }

    /// The store that keeps a secret.
    ///
    /// # Errors
    /// There is no such store.
    pub fn of(&self, id: &SecretId) -> Result<Arc<dyn SecretStore>, StoreError> {
        self.named(id.store())
    }

    /// Every store with its name, the default one first.
    pub fn all(&self) -> Vec<(StoreName, Arc<dyn SecretStore>)> {
        let stores = self.0.read();
        stores.iter().map(|(n, s)| (n.clone(), s.clone())).collect()
    }
}

/// Reads each secret from the store that it names.
impl Source for Stores {
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue> {
        Box::pin(async move { self.of(id)?.get(id, which).await })
    }

    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description> {
        Box::pin(async move { self.of(id)?.describe(id).await })
    }

    /// Lists the secrets of all stores. Names are as the stores know them.
    fn list(&self) -> StoreFuture<'_, Vec<Description>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for (_, store) in self.all() {
                all.extend(store.list().await?);
            }
            Ok(all)
        })
    }

    fn current<'a>(&'a self, id: &'a SecretId) -> CurrentFuture<'a> {
        Box::pin(async move { self.of(id).ok()?.current(id).await })
    }

    fn versions<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Vec<VersionId>> {
        Box::pin(async move { self.of(id)?.versions(id).await })
    }
}
