//! `[store]` and `[store.NAME]`: every store of a file, and which one keeps a secret.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::section::Section;
use super::store::{Store, StoreKind, store};
use crate::secret::{SecretId, StoreName, store_title};

/// The stores of a file by their names, the default one first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stores(BTreeMap<StoreName, Store>);

impl Stores {
    /// The store with this name; `None`: the default store.
    pub fn named(&self, name: Option<&str>) -> Option<&Store> {
        let mut all = self.0.iter();
        all.find(|(n, _)| n.as_deref() == name).map(|(_, s)| s)
    }

    /// The store that keeps a secret. A file without mistakes has one for each of its secrets.
    pub fn of(&self, secret: &SecretId) -> Option<&Store> {
        self.named(secret.store())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&StoreName, &Store)> {
        self.0.iter()
    }

    pub fn names(&self) -> Vec<StoreName> {
        self.0.keys().cloned().collect()
    }

    /// Whether secrets of more than one store can be meant.
    pub fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// The stores among these that are wanted.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&Store) -> bool) -> Self {
        let all = self.0.iter().filter(|(_, store)| wanted(store));
        Self(all.map(|(n, s)| (n.clone(), s.clone())).collect())
    }

    /// The stores of `new`; a store that there is already stays as it is.
    pub fn reloaded(&self, new: Self) -> Self {
        let all = new.0.into_iter();
        let kept = all.map(|(name, store)| {
            let store = self.0.get(&name).cloned().unwrap_or(store);
            (name, store)
        });
        Self(kept.collect())
    }

    /// The id of a secret as somebody writes it, with the name of its store or without. Only
    /// the name of a store that there is counts as one: an ARN has colons too.
    pub fn secret(&self, text: &str) -> SecretId {
        secret_in(text, &self.names())
    }
}

/// Reads an id among these stores; see [`Stores::secret`].
pub(super) fn secret_in(text: &str, stores: &[StoreName]) -> SecretId {
    if let Some((name, id)) = text.split_once(':')
        && stores.iter().any(|n| n.as_deref() == Some(name))
    {
        return SecretId::of_store(Some(name), id);
    }
    SecretId::new(text)
}

pub(super) fn stores(document: &mut Section<'_, '_>) -> Stores {
    let (default, named) = document.with_named("store");
    let mut all = BTreeMap::new();
    if let Some(section) = default {
        all.insert(None, store(section));
    }
    for (name, section) in named {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            section.wrong("a store's name has letters, digits, _ and -; give it another");
        } else if name == "arn" {
            section.wrong("ARNs begin with this word; give the store another name");
        }
        let at = section.at();
        let store = store(section);
        if let Some((other, key)) = shared(&store, &all) {
            let (title, other) = (store_title(Some(&name)), store_title(other.as_deref()));
            let message = format!("{title}: {key} is that of {other}; write another {key}");
            document.problems.add(&at, message);
        }
        all.insert(Some(Arc::from(name)), store);
    }
    let stores = Stores(all);
    document.problems.know_stores(stores.names());
    stores
}

/// The store that has the same database or the same address, and by which key.
fn shared(store: &Store, others: &BTreeMap<StoreName, Store>) -> Option<(StoreName, &'static str)> {
    let path = |store: &Store| match &store.kind {
        StoreKind::Embedded { path, .. } => Some(path.clone()),
        _ => None,
    };
    let address = |store: &Store| store.listen.as_ref().map(|l| l.address.clone());
    others.iter().find_map(|(name, other)| {
        if path(store).is_some() && path(store) == path(other) {
            return Some((name.clone(), "path"));
        }
        // Port 0 is a free one each time.
        let mine = address(store).filter(|a| !a.ends_with(":0"));
        (mine.is_some() && mine == address(other)).then(|| (name.clone(), "address"))
    })
}
