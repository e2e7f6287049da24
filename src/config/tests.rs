use std::path::Path;
use std::time::Duration;

use super::*;
use crate::audit::AuditSink;
use crate::audit::OnAuditFailure;
use crate::pool::{DrainDeadlineAction, OnDown, PoolMode, SessionMigration};
use crate::secret::UpstreamAuth;
use crate::upstream;
use crate::vault::KeySource;

mod database;
mod doubtful;
mod keys;
mod listen;
mod mistakes;
mod rules;
mod store;

const MINIMAL: &str = r#"
[database.orders]
secret = "prod/orders"

[[client]]
name = "orders-api"
network = ["10.0.0.0/8"]
databases = ["orders"]
"#;

fn read(text: &str) -> Result<Config, ConfigErrors> {
    parse(text, Path::new("t.toml"))
}

fn valid(text: &str) -> Config {
    read(text).unwrap_or_else(|e| panic!("{e}"))
}

/// The default store.
fn the_store(config: &Config) -> Store {
    let store = config.stores.named(None);
    store.cloned().unwrap_or_else(|| panic!("no [store]"))
}

/// What is said about a text that must be wrong.
fn wrong(text: &str) -> String {
    match read(text) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(e) => e.to_string(),
    }
}

/// The minimal file with more keys in its `[database.orders]`.
fn with_database(keys: &str) -> String {
    MINIMAL.replace("[[client]]", &format!("{keys}\n[[client]]"))
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    let message = wrong(text);
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing in:\n{message}");
    }
}

#[test]
fn a_minimal_file_has_every_default() {
    let config = valid(MINIMAL);
    assert_eq!(
        config.listen,
        Listen {
            addresses: vec![ListenAddress::Tcp {
                host: "127.0.0.1".into(),
                port: 6432
            }],
            tls: ListenTls::Off,
            max_clients: 10_000,
            reception: Reception {
                proxy_protocol: Vec::new(),
                handshake_timeout: Duration::from_secs(15),
            },
            shutdown_timeout: Duration::from_secs(30),
            drain_delay: Duration::ZERO,
            upgrade_timeout: Duration::from_secs(3600),
            reuse_port: false,
            wait_notice: Duration::from_secs(1),
            socket_mode: 0o660,
            socket_owner: None,
            socket_group: None,
            client_ca: None,
            revoke: Revoke::Idle,
            guard: Guard::default(),
            allow_untrusted_networks: false,
            user: None,
        }
    );
    assert_eq!(
        config.admin.address,
        Some(AdminAddress::Tcp("127.0.0.1:6433".into()))
    );
    assert_eq!(the_store(&config).refresh, Duration::from_secs(60));
    assert_eq!(
        the_store(&config).kind,
        StoreKind::Embedded {
            path: std::path::Path::new("data/store.db").into(),
            key: KeySource::File("data/store.key".into()),
            allow_own_database: false
        }
    );
    assert_eq!(
        config.audit,
        audit::Options {
            sink: AuditSink::File("data/audit.jsonl".into()),
            on_failure: OnAuditFailure::Deny,
            checkpoint: Duration::from_secs(10),
            summary: Duration::from_secs(900),
            leases: false,
            segments: audit::Segments::default(),
            sinks: Vec::new(),
        }
    );
    let orders = &config.databases["orders"];
    assert_eq!(
        **orders,
        Database {
            secret: SecretId::new("prod/orders"),
            upstream: Arc::new(upstream::Options {
                name: "orders".into(),
                host: None,
                port: None,
                prefer_socket: None,
                target_session_attrs: Default::default(),
                dbname: None,
                tls: None,
                tls_options: Default::default(),
                tcp: Default::default(),
                require_channel_binding: false,
                scram_iterations: 4096..=100_000,
                store: None,
                auth: UpstreamAuth::Password,
                allow_md5: false,
                allow_cleartext: false,
                connect_timeout: Duration::from_secs(15),
            }),
            pool_mode: PoolMode::Transaction,
            application_name: None,
            client_setting: false,
            pool_size: 20,
            min_pool_size: 0,
            reserve_pool_size: 0,
            reserve_pool_timeout: Duration::from_secs(5),
            fleet_size: None,
            max_clients: None,
            server_check_delay: Duration::from_secs(30),
            reset_between_clients: true,
            reuse_plans: false,
            query_timeout: Duration::ZERO,
            idle_transaction_timeout: Duration::ZERO,
            client_idle_timeout: Duration::ZERO,
            pool_wait_timeout: Duration::from_secs(120),
            on_down: OnDown::Queue,
            max_waiting: 10_000,
            server_idle_timeout: Duration::from_secs(600),
            server_lifetime: Duration::from_secs(3600),
            drain_timeout: Duration::from_secs(300),
            drain_deadline_action: DrainDeadlineAction::Wait,
            drain_hard_timeout: Duration::ZERO,
            session_migration: SessionMigration::Off,
            login_concurrency: 4,
            rotation_grace: Duration::from_secs(120),
        }
    );
    let client = &config.clients[0];
    assert_eq!((&*client.name, client.number), ("orders-api", 1));
    assert_eq!(client.databases, std::slice::from_ref(orders.name()));
    assert!(
        client.users.is_none() && client.identity.unix_user.is_none() && client.secret.is_none()
    );
    assert_eq!(warnings(&config), Vec::<String>::new());
}

/// `config/full.toml` promises to show the defaults: what it sets must change nothing.
#[test]
fn the_full_file_shows_the_defaults() {
    let full = include_str!("../../config/full.toml");
    let mut config = valid(full);
    let minimal = valid(MINIMAL);
    config.clients = minimal.clients.clone();
    // There is none by default.
    let fleet = config
        .fleet
        .take()
        .map(|fleet| (fleet.address, fleet.peers));
    assert_eq!(fleet, Some(("0.0.0.0:6434".to_owned(), Vec::new())));
    config.settings = minimal.settings.clone();
    config.written = minimal.written.clone();
    assert_eq!(config, minimal);
    // And with everything that is commented out, each key is a known one.
    let keys = |line: &str| {
        line.strip_prefix('#')
            .filter(|l| {
                l.split_once(" = ")
                    .is_some_and(|(k, _)| k.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            })
            .map(str::to_owned)
    };
    let all: Vec<String> = full
        .lines()
        .map(|l| keys(l).unwrap_or_else(|| l.to_owned()))
        .collect();
    assert!(all.iter().filter(|l| l.starts_with("tls_ca")).count() == 2);
    let message = wrong(&all.join("\n"));
    // The keys of other kinds of store are the only thing wrong.
    assert!(
        message
            .lines()
            .all(|l| l.contains("belongs to another kind")),
        "{message}"
    );
    assert_eq!(message.lines().count(), 12, "{message}");
}

#[test]
fn every_example_is_valid() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut read = 0;
    for entry in std::fs::read_dir(directory).expect("config/") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|e| e == "toml") {
            let config = load(&path).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(
                warnings(&config),
                Vec::<String>::new(),
                "{}",
                path.display()
            );
            read += 1;
        }
    }
    assert!(read >= 3);
}
