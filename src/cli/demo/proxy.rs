//! The secret and the proxy, as a configuration file would make them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use zeroize::Zeroizing;

use super::cluster::{Cluster, DATABASE, ROLE};
use super::{DemoError, free_port};
use crate::access::{Rule, UserRef};
use crate::admin::AdminAddress;
use crate::audit::{self, AuditSink, OnAuditFailure};
use crate::config::{Admin, Config, Listen, ListenTls, Store, StoreKind};
use crate::net::ListenAddress;
use crate::pool::{Database, DrainDeadlineAction, PoolMode, SessionMigration};
use crate::secret::{NewSecret, SecretId, UpstreamAuth};
use crate::server::{Proxy, open_store};
use crate::session::{Guard, Revoke};
use crate::upstream;
use crate::vault::KeySource;

pub const SECRET: &str = "demo/shop";
/// Databases as clients ask for them: one of each pool mode, over one secret.
pub const ORDERS: &str = "orders";
pub const REPORTS: &str = "reports";

/// Where clients and people find the proxy.
#[derive(Debug, Clone)]
pub struct Doors {
    pub port: u16,
    pub admin_port: u16,
    /// Directory of the unix socket.
    pub socket: PathBuf,
    pub audit: PathBuf,
}

/// The application's secret with its first, random password, known to nobody
/// but the store and (as a verifier) Postgres.
pub async fn make_secret(cluster: &Cluster, scratch: &Path) -> Result<(), DemoError> {
    let store = open_store(&store(scratch)).await?;
    let password = store.random_password(Default::default()).await?;
    cluster.furnish(&password).await?;
    store
        .create(NewSecret {
            name: SECRET.to_owned(),
            description: Some("The password of pgvalet demo's throwaway Postgres".to_owned()),
            value: value(cluster.port, &password),
            token: None,
        })
        .await?;
    Ok(())
}

/// The JSON of RDS secrets.
pub fn value(port: u16, password: &str) -> Zeroizing<String> {
    let value = serde_json::json!({
        "engine": "postgres",
        "host": "127.0.0.1",
        "port": port,
        "dbname": DATABASE,
        "username": ROLE,
        "password": password,
    });
    Zeroizing::new(value.to_string())
}

pub async fn start(scratch: &Path) -> Result<(Proxy, Doors), DemoError> {
    let doors = Doors {
        port: free_port()?,
        admin_port: free_port()?,
        socket: scratch.to_owned(),
        audit: scratch.join("audit.jsonl"),
    };
    let proxy = Proxy::start(config(scratch, &doors)).await?;
    Ok((proxy, doors))
}

fn store(scratch: &Path) -> Store {
    Store {
        kind: StoreKind::Embedded {
            path: scratch.join("store.db"),
            key: KeySource::File(scratch.join("store.key")),
        },
        refresh: Duration::from_secs(60),
        listen: None,
    }
}

fn config(scratch: &Path, doors: &Doors) -> Config {
    Config {
        admin_secrets: Arc::default(),
        listen: Listen {
            addresses: vec![
                ListenAddress::Tcp {
                    host: "127.0.0.1".to_owned(),
                    port: doors.port,
                },
                ListenAddress::Unix {
                    directory: doors.socket.clone(),
                    port: doors.port,
                },
            ],
            tls: ListenTls::Off,
            max_clients: 1000,
            socket_owner: None,
            socket_group: None,
            client_ca: None,
            proxy_protocol: Vec::new(),
            revoke: Revoke::Idle,
            guard: Guard::default(),
            allow_untrusted_networks: false,
            user: None,
            handshake_timeout: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(3),
            socket_mode: 0o600,
        },
        admin: Admin {
            address: Some(AdminAddress::Tcp(format!("127.0.0.1:{}", doors.admin_port))),
            token_file: None,
        },
        store: store(scratch),
        audit: audit::Options {
            sink: AuditSink::File(doors.audit.clone()),
            on_failure: OnAuditFailure::Deny,
        },
        databases: [
            database(ORDERS, PoolMode::Transaction),
            database(REPORTS, PoolMode::Session),
        ]
        .map(|d| (d.name.clone(), Arc::new(d)))
        .into(),
        rotations: Default::default(),
        clients: clients().into_iter().map(Arc::new).collect(),
    }
}

fn database(name: &str, pool_mode: PoolMode) -> Database {
    Database {
        name: name.into(),
        secret: SecretId::new(SECRET),
        upstream: Arc::new(upstream::Options {
            name: name.into(),
            host: None,
            port: None,
            target_session_attrs: Default::default(),
            dbname: None,
            tls: None,
            tls_ca: None,
            allow_md5: false,
            allow_cleartext: false,
            tls_identity: None,
            require_channel_binding: false,
            min_scram_iterations: 4096,
            auth: UpstreamAuth::Password,
            connect_timeout: Duration::from_secs(15),
        }),
        pool_mode,
        application_name: None,
        pool_size: 10,
        min_pool_size: 0,
        reserve_pool_size: 0,
        reserve_pool_timeout: Duration::from_secs(5),
        max_clients: None,
        server_check_delay: Duration::from_secs(30),
        reset_between_clients: true,
        query_timeout: Duration::ZERO,
        idle_transaction_timeout: Duration::ZERO,
        client_idle_timeout: Duration::ZERO,
        pool_wait_timeout: Duration::from_secs(30),
        server_idle_timeout: Duration::from_secs(600),
        server_lifetime: Duration::from_secs(3600),
        drain_timeout: Duration::from_secs(300),
        drain_deadline_action: DrainDeadlineAction::Wait,
        drain_hard_timeout: Duration::ZERO,
        session_migration: SessionMigration::Off,
        login_concurrency: 4,
        rotation_grace: Duration::from_secs(120),
    }
}

/// Two are known by where they come from, one by who the kernel says it is.
fn clients() -> Vec<Rule> {
    let loopback = || "127.0.0.0/8".parse().ok().map(|network| vec![network]);
    let rule = |rule, name: &str, databases: &[&str]| Rule {
        name: name.into(),
        rule,
        databases: databases.iter().map(|d| (*d).into()).collect(),
        ..Rule::default()
    };
    vec![
        Rule {
            unix_user: Some(UserRef::Uid(geteuid().as_raw())),
            ..rule(1, "settlement", &[ORDERS])
        },
        Rule {
            network: loopback(),
            ..rule(2, "orders-api", &[ORDERS])
        },
        Rule {
            network: loopback(),
            ..rule(3, "reporting", &[REPORTS])
        },
    ]
}
