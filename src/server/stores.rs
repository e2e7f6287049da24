//! The stores that a proxy has open, each with the listener of its API, if it is served.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::info;

use super::ServerError;
use super::sockets::{OpenSockets, SocketId};
use super::store::open_store_with;
use super::upgrade::message::Part;
use crate::audit::Audit;
use crate::config;
use crate::net::PassedSockets;
use crate::secret::{SecretId, SecretStore, StoreName, Stores, store_title};
use crate::vault::api::{Api, StoreListen, StoreListener, Trail};

/// Every store that is open.
#[derive(Default)]
pub struct OpenStores {
    /// The stores for everybody who reads and writes secrets.
    pub stores: Stores,
    served: Mutex<BTreeMap<StoreName, Served>>,
    /// The stores that a reload has removed.
    removed: Mutex<Vec<(StoreName, Weak<dyn SecretStore>)>>,
}

/// What is beside a store.
struct Served {
    /// The operations of an embedded store.
    api: Option<Arc<Api>>,
    /// The listener of its API, until that is started.
    door: Option<StoreListener>,
    socket: Option<SocketId>,
    /// Becomes true when no more calls are accepted.
    closing: watch::Sender<bool>,
}

/// A bound listener of a store that is not open yet.
pub struct Door {
    listener: StoreListener,
    socket: SocketId,
}

/// Binds the addresses of these stores.
///
/// # Errors
/// An address is not free, or a certificate cannot be used.
pub async fn bind(
    stores: impl Iterator<Item = (&StoreName, &config::Store)>,
    passed: &mut PassedSockets,
    open: &OpenSockets,
) -> Result<BTreeMap<StoreName, Door>, ServerError> {
    let mut doors = BTreeMap::new();
    for (name, store) in stores {
        if let Some(listen) = &store.listen {
            doors.insert(name.clone(), Door::bind(listen, passed, open).await?);
        }
    }
    Ok(doors)
}

impl Door {
    async fn bind(
        listen: &StoreListen,
        passed: &mut PassedSockets,
        open: &OpenSockets,
    ) -> Result<Self, ServerError> {
        let listener = StoreListener::bind(listen, passed).await?;
        let shared = listener.share().map_err(ServerError::Share)?;
        let socket = open.add(Part::Store, shared);
        Ok(Self { listener, socket })
    }
}

impl OpenStores {
    /// Opens these stores, with the listeners that are bound already.
    ///
    /// # Errors
    /// A store cannot be opened. Those before it are open then.
    pub async fn open(
        &self,
        stores: impl Iterator<Item = (&StoreName, &config::Store)>,
        mut doors: BTreeMap<StoreName, Door>,
        audit: &Audit,
    ) -> Result<(), ServerError> {
        for (name, store) in stores {
            self.open_one(name, store, doors.remove(name), audit)
                .await?;
        }
        Ok(())
    }

    async fn open_one(
        &self,
        name: &StoreName,
        store: &config::Store,
        door: Option<Door>,
        audit: &Audit,
    ) -> Result<(), ServerError> {
        let trail = Trail::to(audit.clone()).of_store(name.clone());
        let opened = open_store_with(store, trail).await;
        let (store, api) = opened.map_err(|e| match name {
            Some(_) => e.of_named(&store_title(name.as_deref())),
            None => e,
        })?;
        let (door, socket) = door.map(|d| (d.listener, d.socket)).unzip();
        let served = Served {
            api,
            door,
            socket,
            closing: watch::Sender::new(false),
        };
        self.stores.add(name.clone(), store);
        self.served.lock().insert(name.clone(), served);
        Ok(())
    }

    /// Opens stores that a new configuration has added, and serves those that have an address,
    /// if `serve`. All of them are open then, or none.
    ///
    /// # Errors
    /// Why one of them cannot be opened.
    pub async fn add(
        &self,
        new: &[(StoreName, config::Store)],
        serve: bool,
        open: &OpenSockets,
        audit: &Audit,
    ) -> Result<(), String> {
        let mut passed = PassedSockets::default();
        for (n, (name, store)) in new.iter().enumerate() {
            let added = async {
                if self.is_still_used(name) {
                    let title = store_title(name.as_deref());
                    return Err(format!(
                        "{title} was removed, and what used it has not ended; reload again later"
                    ));
                }
                let door = match &store.listen {
                    Some(listen) if serve => Door::bind(listen, &mut passed, open).await.map(Some),
                    _ => Ok(None),
                };
                let door = door.map_err(|e| e.to_string())?;
                let socket = door.as_ref().map(|door| door.socket);
                let opened = self.open_one(name, store, door, audit).await;
                opened.map_err(|e| {
                    socket.into_iter().for_each(|socket| open.remove(socket));
                    e.to_string()
                })
            };
            if let Err(why) = added.await {
                for (name, _) in new.iter().take(n) {
                    self.remove(name, open);
                }
                return Err(why);
            }
        }
        self.start();
        Ok(())
    }

    /// Why stores cannot be opened while those are still served that a reload removes: one that
    /// gets another name keeps its address until the reload is over.
    ///
    /// # Errors
    /// An address is that of a store that is removed.
    pub fn fit(
        new: &[(StoreName, config::Store)],
        running: &config::Stores,
        later: &config::Stores,
    ) -> Result<(), String> {
        let address = |store: &config::Store| store.listen.as_ref().map(|l| l.address.clone());
        for (name, store) in new {
            let Some(own) = address(store).filter(|a| !a.ends_with(":0")) else {
                continue;
            };
            let mut removed = running
                .iter()
                .filter(|(n, _)| later.named(n.as_deref()).is_none());
            let same = |(_, old): &(_, &config::Store)| address(old).as_ref() == Some(&own);
            if let Some((old, _)) = removed.find(same) {
                let (new, old) = (store_title(name.as_deref()), store_title(old.as_deref()));
                return Err(format!(
                    "{new} address {own} is still that of {old}, which this reload removes; give it another address, or leave the address out, reload, and add it when pgvalet is restarted"
                ));
            }
        }
        Ok(())
    }

    /// Whether a store of this name was removed, and is not closed yet.
    fn is_still_used(&self, name: &StoreName) -> bool {
        let mut removed = self.removed.lock();
        removed.retain(|(_, store)| store.strong_count() > 0);
        removed.iter().any(|(n, _)| n == name)
    }

    /// Serves the stores that have an address and are not served yet.
    pub fn start(&self) {
        for (name, served) in &mut *self.served.lock() {
            let Some((door, api)) = served.door.take().zip(served.api.clone()) else {
                continue;
            };
            match name {
                None => info!("the store on {}", door.url()),
                Some(name) => info!("the store {name} on {}", door.url()),
            }
            tokio::spawn(door.serve(api, served.closing.subscribe()));
        }
    }

    /// Accepts no more calls.
    pub fn close(&self) {
        for served in self.served.lock().values() {
            served.closing.send_replace(true);
        }
    }

    /// Closes a store. Pools that still use it go on with it until they have ended.
    pub fn remove(&self, name: &StoreName, open: &OpenSockets) {
        if let Ok(store) = self.stores.named(name.as_deref()) {
            let removed = (name.clone(), Arc::downgrade(&store));
            self.removed.lock().push(removed);
        }
        self.stores.remove(name);
        if let Some(served) = self.served.lock().remove(name) {
            served.closing.send_replace(true);
            if let Some(socket) = served.socket {
                open.remove(socket);
            }
        }
    }

    /// Tells each embedded store which of its secrets this proxy rotates when it is asked to.
    pub fn rotates<'a>(&self, secrets: impl Iterator<Item = &'a SecretId> + Clone) {
        for (name, served) in &*self.served.lock() {
            let Some(api) = &served.api else { continue };
            let of_store = secrets.clone().filter(|s| s.store() == name.as_deref());
            api.rotates(of_store.cloned().collect());
        }
    }
}
