//! Builds all parts of a proxy from its configuration.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tracing::warn;

use super::ServerError;
use super::admin::{Admin, OwnToken, bind_admin};
use super::descriptors::Descriptors;
use super::fleet::{self, Joined};
use super::listen::{client_tls, socket_access};
use super::pools::{Parts, Pools};
use super::rotation::Journal;
use super::sockets::{OpenSockets, Sockets};
use super::stores::{self, OpenStores};
use super::trouble::Health;
use super::upgrade::message::{Part, PoolName};
use super::upgrade::{Before, Upgrades};
use crate::access::Policy;
use crate::admin::{Console, Operations, Stop};
use crate::audit::{Audit, ConfigRef, Record};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::net::{ClientTrust, Listener};
use crate::pool::Pool;
use crate::rotation::Rotations;
use crate::secret::{Follower, SecretId};
use crate::session::{
    Context, Denials, Elsewhere, Limiter, Refusals, Routes, Seats, SessionMetrics, Sessions,
    Switches, SwitchesSet,
};

/// All parts of a running proxy.
pub struct Built {
    pub context: Arc<Context>,
    pub metrics: Arc<Metrics>,
    pub stores: OpenStores,
    pub started_at: SystemTime,
    /// The configuration in force, and the followers of its secrets.
    pub state: Mutex<State>,
    pub rotations: Rotations,
    pub journal: Arc<Journal>,
    pub health: Health,
    /// The file that the configuration is read from again.
    pub file: OnceLock<PathBuf>,
    /// One reload at a time.
    pub reloading: AsyncMutex<()>,
    /// When somebody has asked for the proxy to stop.
    pub stop: watch::Sender<Option<Stop>>,
    pub descriptors: Arc<Descriptors>,
    /// The listening sockets, for a process that replaces this one.
    pub open: OpenSockets,
    pub upgrades: Upgrades,
    /// Becomes true when no more clients are accepted.
    pub closing: watch::Sender<bool>,
    /// Becomes true when the admin listener ends.
    pub ended: watch::Sender<bool>,
    /// The token that the admin listener has made.
    pub own_token: Option<OwnToken>,
}

/// Listeners that are bound, and serve when everything is built.
pub struct Doors {
    pub clients: Vec<Listener>,
    pub admin: Option<Admin>,
    pub fleet: Option<Joined>,
}

/// What a reload changes.
pub struct State {
    pub config: Config,
    pub followers: HashMap<SecretId, Arc<Follower>>,
    pub pools: Pools,
}

impl Built {
    /// Opens the store and the log, and binds every address. `before`: what the process leaves
    /// that this one replaces, which still writes the log.
    ///
    /// # Errors
    /// [`ServerError`]
    pub async fn new(
        config: Config,
        sockets: Sockets,
        before: Option<&Before>,
    ) -> Result<(Arc<Self>, Doors), ServerError> {
        let (mut passed, mut for_admin) = (sockets.clients, sockets.admin);
        let (mut for_store, mut for_fleet) = (sockets.store, sockets.fleet);
        let descriptors = Arc::new(Descriptors::new(&config));
        if let Some(warning) = descriptors.warning(&config) {
            warn!("{warning}");
        }
        let metrics = Metrics::new();
        // Addresses come first: a second proxy started by mistake must not touch the log.
        let mut listeners = Vec::new();
        let open = OpenSockets::default();
        let (access, reuse_port) = (socket_access(&config.listen)?, config.listen.reuse_port);
        for address in &config.listen.addresses {
            listeners.extend(Listener::bind(address, access, reuse_port, &mut passed).await?);
        }
        for listener in &listeners {
            open.add(Part::Clients, listener.share().map_err(ServerError::Share)?);
        }
        passed.all_used()?;
        let admin = bind_admin(&config, &mut for_admin).await?;
        for_admin.all_used()?;
        let client_trust = match &config.listen.client_ca {
            Some(files) => Some(ClientTrust::load(files)?),
            None => None,
        };
        let tls = client_tls(&config.listen, client_trust.as_ref())?;
        let of_stores = stores::bind(config.stores.iter(), &mut for_store, &open).await?;
        for_store.all_used()?;
        let joined = fleet::join(&config, &mut for_fleet, &metrics).await?;
        if let Some(joined) = &joined {
            open.add(
                Part::Fleet,
                joined.door.share().map_err(ServerError::Share)?,
            );
        }
        for_fleet.all_used()?;
        let fleet = joined.as_ref().map(|joined| joined.fleet.clone());
        let audit = match before {
            Some(_) => Audit::later(&config.audit, &metrics)?,
            None => Audit::open(&config.audit, &metrics)?,
        };
        audit.record(Record::start(ConfigRef {
            after: config.written.hash(),
            ..ConfigRef::default()
        }));
        // Only the holder of the log's lock makes a token, so that the token of a running
        // proxy stays.
        let admin = match admin {
            Some((listener, address)) => {
                let token = before.and_then(|before| before.offer.token.as_ref());
                let admin = Admin::new(listener, address, &config, token)?;
                open.add(Part::Admin, admin.share().map_err(ServerError::Share)?);
                Some(admin)
            }
            None => None,
        };
        let stores = OpenStores::default();
        let all = config.stores.iter();
        stores.open(all, of_stores, &audit).await?;

        let mut followers = HashMap::new();
        let mut pools = before.map_or_else(Pools::default, |b| Pools::after(b.remains(&config)));
        let parts = Parts {
            stores: &stores.stores,
            metrics: &metrics,
            audit: &audit,
        };
        let in_use = pools.start(&config, &parts, &mut followers);
        let context = Arc::new(Context {
            routes: ArcSwap::from_pointee(Routes {
                policy: Policy::new(&config.clients, &config.databases, None),
                pools: in_use,
            }),
            sessions: Sessions::of(fleet.clone()),
            fleet,
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
            switches: Switches::set(
                before.map_or_else(SwitchesSet::default, |b| b.offer.switches.clone()),
            ),
            traces: OnceLock::new(),
            elsewhere: Elsewhere::default(),
            console: OnceLock::new(),
            clients: Seats::new(config.listen.max_clients),
        });
        let journal = Journal::new(context.audit.clone(), metrics.clone());
        let rotations = Rotations::new(stores.stores.clone(), journal.clone());
        context.set_wait_notice(config.listen.wait_notice);
        let built = Arc::new(Self {
            context,
            metrics,
            stores,
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
            reloading: AsyncMutex::default(),
            stop: watch::Sender::new(None),
            descriptors,
            open,
            upgrades: Upgrades::default(),
            closing: watch::Sender::new(false),
            ended: watch::Sender::new(false),
            own_token: admin.as_ref().and_then(Admin::own_token),
        });
        let switches = &built.context.switches;
        switches.apply(built.context.routes.load().pools.values());
        let proxy: Weak<dyn Operations> = Arc::downgrade(&built) as _;
        let _ = built.context.console.set(Console::start(proxy));
        let doors = Doors {
            clients: listeners,
            admin,
            fleet: joined,
        };
        Ok((built, doors))
    }

    /// The pool of this name, if there is one.
    pub fn pool(&self, name: &PoolName) -> Option<Arc<Pool>> {
        let pools = self.all_pools();
        let is = |pool: &Pool| pool.name == name.database && *pool.secret.as_str() == *name.secret;
        pools.into_iter().find(|pool| is(pool))
    }

    /// Accepts no more clients.
    pub fn close(&self) {
        self.closing.send_replace(true);
        self.stores.close();
        self.open.close_clients();
    }

    /// All pools, also those that the configuration has no use for any more.
    pub fn all_pools(&self) -> Vec<Arc<Pool>> {
        self.state.lock().pools.all()
    }
}
