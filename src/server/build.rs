//! Everything a proxy consists of, made from its configuration.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use nix::unistd::{Group, User};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tracing::{info, warn};

use super::rotation::Journal;
use super::store::open_store_with;
use crate::access::{Policy, UserRef};
use crate::admin::{self, AdminAddress, AdminListener, Doorkeeper, StatusSource};
use crate::audit::{Audit, AuditError};
use crate::config::{Config, Listen, ListenTls};
use crate::metrics::Metrics;
use crate::net::listener::ListenError;
use crate::net::tls::TlsError;
use crate::net::{ClientTrust, Listener, ServerCertificate, SocketAccess};
use crate::pool::Pool;
use crate::rotation::Rotations;
use crate::secret::{Follower, SecretId, SecretStore, StoreError};
use crate::session::{Context, Denials, Limiter, Routes, SessionMetrics, Sessions, Tls};
use crate::vault::api::{Api, Door, ServeError, Trail};

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{0}")]
    Listen(#[from] ListenError),
    #[error("[listen] {0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Audit(#[from] AuditError),
    #[error("cannot listen on [admin] address {address}: {source}")]
    Admin {
        address: String,
        source: std::io::Error,
    },
    #[error("[listen] {key}: this machine knows no {name:?}")]
    UnknownOwner { key: &'static str, name: String },
    #[error("[admin] {0}")]
    Token(#[from] admin::TokenError),
    #[error("{0}")]
    Serve(#[from] ServeError),
}

pub struct Built {
    pub context: Arc<Context>,
    pub metrics: Arc<Metrics>,
    pub store: Arc<dyn SecretStore>,
    pub started_at: SystemTime,
    /// The configuration in force, and the followers of its secrets.
    pub state: Mutex<State>,
    pub rotations: Rotations,
    /// Of the embedded store.
    pub api: Option<Arc<Api>>,
}

pub struct State {
    pub config: Config,
    pub followers: HashMap<SecretId, Arc<Follower>>,
    /// Pools that a reload has replaced, and that still have sessions.
    pub lingering: Vec<Weak<Pool>>,
}

/// The bound listener of the embedded store, and what it serves.
pub struct StoreDoor {
    door: Door,
    api: Arc<Api>,
}

impl StoreDoor {
    pub fn start(self, closing: watch::Receiver<bool>) {
        info!("the store on {}", self.door.url());
        tokio::spawn(self.door.serve(self.api, closing));
    }
}

/// The bound admin listener.
pub struct Admin {
    listener: AdminListener,
    address: AdminAddress,
    keeper: Doorkeeper,
}

impl Built {
    pub async fn new(
        config: Config,
    ) -> Result<(Arc<Self>, Vec<Listener>, Option<Admin>, Option<StoreDoor>), ServerError> {
        let metrics = Metrics::new();
        // Addresses first: a second proxy by mistake must not touch the log.
        let mut listeners = Vec::new();
        let sockets = socket_access(&config.listen)?;
        for address in &config.listen.addresses {
            listeners.extend(Listener::bind(address, sockets).await?);
        }
        let admin = bind_admin(&config).await?;
        let client_trust = match &config.listen.client_ca {
            Some(files) => Some(ClientTrust::load(files)?),
            None => None,
        };
        let tls = client_tls(&config.listen, client_trust.as_ref())?;
        let door = match &config.store.listen {
            Some(listen) => Some(Door::bind(listen).await?),
            None => None,
        };
        let audit = Audit::open(&config.audit, &metrics)?;
        // Behind the log's lock: the token of a proxy that runs is left alone.
        let admin = match admin {
            Some((listener, address)) => Some(Admin::new(listener, address, &config)?),
            None => None,
        };
        let (store, api) = open_store_with(&config.store, Trail::to(audit.clone())).await?;
        let door = door
            .zip(api.clone())
            .map(|(door, api)| StoreDoor { door, api });

        let mut followers = HashMap::new();
        let pools = pools(
            &config,
            &store,
            &metrics,
            &audit,
            &mut followers,
            &HashMap::new(),
        );
        let context = Arc::new(Context {
            routes: ArcSwap::from_pointee(Routes {
                policy: Policy::new(&config.clients, &config.databases, None),
                pools,
            }),
            sessions: Sessions::default(),
            audit,
            metrics: SessionMetrics::new(metrics.clone()),
            tls,
            client_trust,
            proxy_protocol: config.listen.proxy_protocol.clone(),
            limiter: Arc::new(Limiter::new(
                config.listen.guard.max_handshakes,
                config.listen.guard.max_handshakes_per_address,
            )),
            denials: Denials::new(config.listen.guard.denials_per_second),
            handshake_timeout: config.listen.handshake_timeout,
            clients: Arc::new(Semaphore::new(config.listen.max_clients)),
        });
        let journal = Journal {
            audit: context.audit.clone(),
            metrics: metrics.clone(),
        };
        let rotations = Rotations::new(store.clone(), Arc::new(journal));
        let built = Arc::new(Self {
            context,
            metrics,
            store,
            started_at: SystemTime::now(),
            state: Mutex::new(State {
                config,
                followers,
                lingering: Vec::new(),
            }),
            rotations,
            api,
        });
        Ok((built, listeners, admin, door))
    }
}

impl Built {
    /// Every pool that has, or may get, a session.
    pub fn all_pools(&self) -> Vec<Arc<Pool>> {
        let mut state = self.state.lock();
        state.lingering.retain(|pool| pool.strong_count() > 0);
        let lingering = state.lingering.iter().filter_map(Weak::upgrade);
        let routes = self.context.routes.load();
        routes.pools.values().cloned().chain(lingering).collect()
    }
}

/// A pool for every (database, secret) that a rule can lead to, so that a
/// secret that does not work shows at the start and not with the first client.
/// Pools in `kept` whose database is unchanged live on.
pub fn pools(
    config: &Config,
    store: &Arc<dyn SecretStore>,
    metrics: &Arc<Metrics>,
    audit: &Audit,
    followers: &mut HashMap<SecretId, Arc<Follower>>,
    kept: &HashMap<(Arc<str>, SecretId), Arc<Pool>>,
) -> HashMap<(Arc<str>, SecretId), Arc<Pool>> {
    let mut pools = HashMap::new();
    for (database, secret) in config.uses() {
        let key = (database.name.clone(), secret.clone());
        let pool = match kept.get(&key) {
            Some(pool) if pool.database == database => pool.clone(),
            _ => {
                let follower = followers.entry(secret.clone()).or_insert_with(|| {
                    Follower::start(secret.clone(), store.clone(), config.store.refresh, metrics)
                });
                Pool::start(
                    database.clone(),
                    secret,
                    follower.clone(),
                    metrics.clone(),
                    audit.clone(),
                )
            }
        };
        pools.insert(key, pool);
    }
    pools
}

fn client_tls(listen: &Listen, trust: Option<&Arc<ClientTrust>>) -> Result<Tls, TlsError> {
    let shown = |certificate: &PathBuf, key: &PathBuf| {
        ServerCertificate::load(certificate.clone(), key.clone(), trust.cloned())
    };
    Ok(match &listen.tls {
        ListenTls::Off => Tls::Off,
        ListenTls::Allow { certificate, key } => Tls::Allow(shown(certificate, key)?),
        ListenTls::Require { certificate, key } => Tls::Require(shown(certificate, key)?),
    })
}

fn socket_access(listen: &Listen) -> Result<SocketAccess, ServerError> {
    let unknown = |key, name: &str| ServerError::UnknownOwner {
        key,
        name: name.to_owned(),
    };
    let uid = match &listen.socket_owner {
        None => None,
        Some(UserRef::Uid(uid)) => Some(*uid),
        Some(UserRef::Name(name)) => {
            let user = User::from_name(name).ok().flatten();
            let user = user.ok_or_else(|| unknown("socket_owner", name))?;
            Some(user.uid.as_raw())
        }
    };
    let gid = match &listen.socket_group {
        None => None,
        Some(UserRef::Uid(gid)) => Some(*gid),
        Some(UserRef::Name(name)) => {
            let group = Group::from_name(name).ok().flatten();
            let group = group.ok_or_else(|| unknown("socket_group", name))?;
            Some(group.gid.as_raw())
        }
    };
    Ok(SocketAccess {
        mode: listen.socket_mode,
        uid,
        gid,
    })
}

/// Who may open the admin listener's unix socket: the process's user and group.
const ADMIN_SOCKET: SocketAccess = SocketAccess {
    mode: 0o660,
    uid: None,
    gid: None,
};

async fn bind_admin(config: &Config) -> Result<Option<(AdminListener, AdminAddress)>, ServerError> {
    let Some(address) = &config.admin.address else {
        return Ok(None);
    };
    let listener = match address {
        AdminAddress::Tcp(text) => {
            let bound = TcpListener::bind(text).await;
            AdminListener::Tcp(bound.map_err(|source| ServerError::Admin {
                address: text.clone(),
                source,
            })?)
        }
        AdminAddress::Unix(path) => {
            AdminListener::Unix(Listener::bind_unix(path.clone(), ADMIN_SOCKET).await?)
        }
    };
    Ok(Some((listener, address.clone())))
}

/// The token that is wanted of whoever changes something, where none is configured.
/// Without it the proxy serves all the same, and nothing can be changed over TCP.
fn own_token(config: &Config) -> Option<admin::Token> {
    let path = config.admin_token_path()?;
    admin::Token::make(&path)
        .map_err(|e| warn!("[admin] {e}; POST /refresh is refused until then, or set token_file"))
        .ok()
}

impl Admin {
    fn new(
        listener: AdminListener,
        address: AdminAddress,
        config: &Config,
    ) -> Result<Self, ServerError> {
        let token_file = config.admin.token_file.as_deref();
        let token = match token_file {
            Some(path) => Some(admin::Token::read(path)?),
            None => own_token(config),
        };
        let host = match &address {
            AdminAddress::Tcp(text) => text.rsplit_once(':').map(|(host, _)| host),
            AdminAddress::Unix(_) => None,
        };
        let host = host.map(|host| host.trim_matches(['[', ']']).to_owned());
        Ok(Self {
            keeper: Doorkeeper::new(token, token_file.is_some(), host),
            listener,
            address,
        })
    }

    pub fn start(self, built: &Arc<Built>, closing: watch::Receiver<bool>) {
        match (&self.listener, &self.address) {
            (AdminListener::Tcp(listener), _) => {
                if let Ok(address) = listener.local_addr() {
                    info!("admin on http://{address}");
                }
            }
            (_, address) => info!("admin on {address}"),
        }
        let metrics = built.metrics.clone();
        let source: Arc<dyn StatusSource> = built.clone();
        let served = admin::serve(self.listener, metrics, source, self.keeper, closing);
        tokio::spawn(served);
    }
}
