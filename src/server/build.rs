//! Builds all parts of a proxy from its configuration.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::warn;

use super::ServerError;
use super::admin::{Admin, bind_admin};
use super::descriptors::Descriptors;
use super::listen::{client_tls, socket_access};
use super::pools::{Parts, Pools};
use super::rotation::Journal;
use super::store::{StoreDoor, open_store_with};
use super::trouble::Health;
use crate::access::Policy;
use crate::admin::{Console, Operations, Stop};
use crate::audit::Audit;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::net::{ClientTrust, Listener, PassedSockets};
use crate::pool::Pool;
use crate::rotation::Rotations;
use crate::secret::{Follower, SecretId, SecretStore};
use crate::session::{
    Context, Denials, Limiter, Refusals, Routes, Seats, SessionMetrics, Sessions, Switches,
};
use crate::vault::api::{Api, StoreListener, Trail};

/// All parts of a running proxy.
pub struct Built {
    pub context: Arc<Context>,
    pub metrics: Arc<Metrics>,
    pub store: Arc<dyn SecretStore>,
    pub started_at: SystemTime,
    /// The configuration in force, and the followers of its secrets.
    pub state: Mutex<State>,
    pub rotations: Rotations,
    pub journal: Arc<Journal>,
    pub health: Health,
    /// The file that the configuration is read from again.
    pub file: OnceLock<PathBuf>,
    /// When somebody has asked for the proxy to stop.
    pub stop: watch::Sender<Option<Stop>>,
    /// The API of the embedded store, if that is the secret store.
    pub api: Option<Arc<Api>>,
    pub descriptors: Arc<Descriptors>,
}

/// What a reload changes.
pub struct State {
    pub config: Config,
    pub followers: HashMap<SecretId, Arc<Follower>>,
    pub pools: Pools,
}

impl Built {
    /// Opens the store and the log, and binds every address.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn new(
        config: Config,
        mut passed: PassedSockets,
    ) -> Result<(Arc<Self>, Vec<Listener>, Option<Admin>, Option<StoreDoor>), ServerError> {
        let descriptors = Arc::new(Descriptors::new(&config));
        if let Some(warning) = descriptors.warning(&config) {
            warn!("{warning}");
        }
        let metrics = Metrics::new();
        // Addresses come first: a second proxy started by mistake must not touch the log.
        let mut listeners = Vec::new();
        let sockets = socket_access(&config.listen)?;
        for address in &config.listen.addresses {
            listeners.extend(Listener::bind(address, sockets, &mut passed).await?);
        }
        passed.all_used()?;
        let admin = bind_admin(&config).await?;
        let client_trust = match &config.listen.client_ca {
            Some(files) => Some(ClientTrust::load(files)?),
            None => None,
        };
        let tls = client_tls(&config.listen, client_trust.as_ref())?;
        let door = match &config.store.listen {
            Some(listen) => Some(StoreListener::bind(listen).await?),
            None => None,
        };
        let audit = Audit::open(&config.audit, &metrics)?;
        // Only the holder of the log's lock makes a token, so that the token of a running
        // proxy stays.
        let admin = match admin {
            Some((listener, address)) => Some(Admin::new(listener, address, &config)?),
            None => None,
        };
        let (store, api) = open_store_with(&config.store, Trail::to(audit.clone())).await?;
        let door = door
            .zip(api.clone())
            .map(|(door, api)| StoreDoor { door, api });

        let mut followers = HashMap::new();
        let mut pools = Pools::default();
        let parts = Parts {
            store: &store,
            metrics: &metrics,
            audit: &audit,
        };
        let in_use = pools.start(&config, &parts, &mut followers);
        let context = Arc::new(Context {
            routes: ArcSwap::from_pointee(Routes {
                policy: Policy::new(&config.clients, &config.databases, None),
                pools: in_use,
            }),
            sessions: Sessions::default(),
            audit,
            metrics: SessionMetrics::new(metrics.clone()),
            tls,
            client_trust,
            reception: ArcSwap::from_pointee(config.listen.reception.clone()),
            limiter: Arc::new(Limiter::new(
                config.listen.guard.max_handshakes,
                config.listen.guard.max_handshakes_per_address,
            )),
            refusals: Refusals::default(),
            denials: Denials::new(config.listen.guard.denials_per_second),
            wait_notice: AtomicU64::default(),
            switches: Switches::default(),
            console: OnceLock::new(),
            clients: Seats::new(config.listen.max_clients),
        });
        let journal = Journal::new(context.audit.clone(), metrics.clone());
        let rotations = Rotations::new(store.clone(), journal.clone());
        context.set_wait_notice(config.listen.wait_notice);
        let built = Arc::new(Self {
            context,
            metrics,
            store,
            started_at: SystemTime::now(),
            state: Mutex::new(State {
                config,
                followers,
                pools,
            }),
            rotations,
            journal,
            health: Health::default(),
            file: OnceLock::new(),
            stop: watch::Sender::new(None),
            api,
            descriptors,
        });
        let proxy: Weak<dyn Operations> = Arc::downgrade(&built) as _;
        let _ = built.context.console.set(Console::start(proxy));
        Ok((built, listeners, admin, door))
    }

    /// All pools, also those that the configuration has no use for any more.
    pub fn all_pools(&self) -> Vec<Arc<Pool>> {
        self.state.lock().pools.all()
    }
}
