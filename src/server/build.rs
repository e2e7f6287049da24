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
use super::admin::{Admin, OwnToken};
use super::bound::Bound;
use super::descriptors::Descriptors;
use super::fleet::Joined;
use super::pools::{Parts, Pools};
use super::rotation::Journal;
use super::sockets::{OpenSockets, Sockets};
use super::stores::OpenStores;
use super::trouble::Health;
use super::upgrade::message::{Part, PoolName};
use super::upgrade::{Before, Upgrades};
use crate::access::Policy;
use crate::admin::{Console, Operations, Stop};
use crate::audit::{Audit, ConfigRef, Record};
use crate::config::{Config, Listen};
use crate::fleet::Fleet;
use crate::metrics::Metrics;
use crate::net::{ClientTrust, Listener};
use crate::pool::Pool;
use crate::rotation::Rotations;
use crate::secret::{Follower, SecretId};
use crate::session::{
    Context, Denials, Elsewhere, Limiter, Refusals, Routes, Seats, SessionMetrics, Sessions,
    Switches, SwitchesSet, Tls,
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

impl State {
    /// Starts the pools and followers that a configuration has use for; the rules and pools that
    /// sessions use.
    fn new(config: Config, before: Option<&Before>, parts: &Parts<'_>) -> (Self, Routes) {
        let mut followers = HashMap::new();
        let mut pools = before.map_or_else(Pools::default, |b| Pools::after(b.remains(&config)));
        let routes = Routes {
            policy: Policy::new(&config.clients, &config.databases, None),
            pools: pools.start(&config, parts, &mut followers),
        };
        let state = Self {
            config,
            followers,
            pools,
        };
        (state, routes)
    }
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
        let descriptors = Arc::new(Descriptors::new(&config));
        if let Some(warning) = descriptors.warning(&config) {
            warn!("{warning}");
        }
        let metrics = Metrics::new();
        // Addresses come first: a second proxy started by mistake must not touch the log.
        let bound = Bound::new(&config, sockets, &metrics).await?;
        let audit = open_log(&config, &metrics, before.is_some())?;
        let open = bound.open;
        // Only the holder of the log's lock makes a token, so that the token of a running
        // proxy stays.
        let token = before.and_then(|before| before.offer.token.as_ref());
        let admin = match bound.admin {
            Some((listener, address)) => Some(Admin::new(listener, address, &config, token)?),
            None => None,
        };
        if let Some(admin) = &admin {
            open.add(Part::Admin, admin.share().map_err(ServerError::Share)?);
        }
        let stores = OpenStores::default();
        let all = config.stores.iter();
        stores.open(all, bound.stores, &audit).await?;

        let parts = Parts {
            stores: &stores.stores,
            metrics: &metrics,
            audit: &audit,
        };
        let (state, routes) = State::new(config, before, &parts);
        let fleet = bound.fleet.as_ref().map(|joined| joined.fleet.clone());
        let switches = before.map_or_else(SwitchesSet::default, |b| b.offer.switches.clone());
        let shared = (audit, metrics.clone(), fleet);
        let context = context(&state.config.listen, routes, shared, bound.tls, switches);
        let journal = Journal::new(context.audit.clone(), metrics.clone());
        let rotations = Rotations::new(stores.stores.clone(), journal.clone());
        let built = Arc::new(Self {
            context,
            metrics,
            stores,
            started_at: SystemTime::now(),
            state: Mutex::new(state),
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
        let _ = built.journal.built.set(Arc::downgrade(&built));
        built.serve_console();
        let doors = Doors {
            clients: bound.clients,
            admin,
            fleet: bound.fleet,
        };
        Ok((built, doors))
    }

    /// Puts the switches of an administrator into force, and the console to work.
    fn serve_console(self: &Arc<Self>) {
        let switches = &self.context.switches;
        switches.apply(self.context.routes.load().pools.values());
        let proxy: Weak<dyn Operations> = Arc::downgrade(self) as _;
        let _ = self.context.console.set(Console::start(proxy));
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

/// Opens the log, and records that the proxy starts. `later`: another process still writes it.
fn open_log(config: &Config, metrics: &Arc<Metrics>, later: bool) -> Result<Audit, ServerError> {
    let audit = match later {
        true => Audit::later(&config.audit, metrics)?,
        false => Audit::open(&config.audit, metrics)?,
    };
    audit.record(Record::start(ConfigRef {
        after: config.written.hash(),
        ..ConfigRef::default()
    }));
    Ok(audit)
}

/// What all sessions share.
fn context(
    listen: &Listen,
    routes: Routes,
    (audit, metrics, fleet): (Audit, Arc<Metrics>, Option<Arc<Fleet>>),
    (tls, client_trust): (Tls, Option<Arc<ClientTrust>>),
    switches: SwitchesSet,
) -> Arc<Context> {
    let context = Context {
        routes: ArcSwap::from_pointee(routes),
        sessions: Sessions::of(fleet.clone()),
        fleet,
        audit,
        metrics: SessionMetrics::new(metrics),
        tls,
        client_trust,
        reception: ArcSwap::from_pointee(listen.reception.clone()),
        limiter: Arc::new(Limiter::new(
            listen.guard.max_handshakes,
            listen.guard.max_handshakes_per_address,
        )),
        refusals: Refusals::default(),
        denials: Denials::new(listen.guard.denials_per_second),
        wait_notice: AtomicU64::default(),
        switches: Switches::set(switches),
        traces: OnceLock::new(),
        elsewhere: Elsewhere::default(),
        console: OnceLock::new(),
        clients: Seats::new(listen.max_clients),
    };
    context.set_wait_notice(listen.wait_notice);
    Arc::new(context)
}
