//! From the file as written to the [`Config`] in force. Every default is here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::error::{ConfigError, ConfigErrors};
use super::file::{Problems, Section};
use super::values::{host_port, listen_address, mode, secret, socket_path, with_ports, word};
use super::{
    Admin, Config, Listen, ListenTls, Store, StoreKind, admins, drain, identity, rotation, rules,
};
use crate::admin::AdminAddress;
use crate::audit::{self, AuditSink, OnAuditFailure};
use crate::base::nonempty;
use crate::net::{ListenAddress, UpstreamTls, is_loopback};
use crate::pool::{Database, PoolMode};
use crate::rotation::Rotation;
use crate::secret::UpstreamAuth;
use crate::upstream::{self, Hosts, SessionAttrs};
use crate::vault::KeySource;
use crate::vault::api::{StoreListen, StoreTls};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// For durations of which none at all makes sense.
const NONE: Duration = Duration::ZERO;
/// For the others: anything shorter is a slip.
const SOME: Duration = Duration::from_millis(1);

/// Reads and checks a configuration file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ConfigError::Missing(path.to_owned()),
        _ => ConfigError::Unreadable {
            path: path.to_owned(),
            error,
        },
    })?;
    Ok(parse(&text, path)?)
}

/// Checks the text of a configuration; `file` is what messages call it.
pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigErrors> {
    let problems = Problems::new(text);
    let config = Section::document(text, &problems).map(|document| config(document));
    problems.into_result(config, file)
}

fn config(mut document: Section<'_, '_>) -> Config {
    let listen = listen(document.section("listen"));
    let admin = admin(document.section("admin"));
    let store = store(document.section("store"));
    let audit = audit(document.section("audit"));

    let written = document.named("database");
    let names: Vec<Arc<str>> = written.iter().map(|(n, _)| n.as_str().into()).collect();
    // A file may be there for nothing but the store.
    if names.is_empty() && store.listen.is_none() {
        document.wrong("there is no database; add a section [database.NAME] with its secret");
    }
    let mut rotated = BTreeMap::new();
    let mut rotations = BTreeMap::new();
    let databases: BTreeMap<Arc<str>, Arc<Database>> = written
        .into_iter()
        .map(|(name, section)| {
            let at = section.at();
            let (database, rotation) = database(name.into(), section);
            if let Some(rotation) = rotation {
                rotation::once(&database, &mut rotated, &at, document.problems);
                rotations.insert(database.name.clone(), rotation);
            }
            (database.name.clone(), Arc::new(database))
        })
        .collect();
    let clients = document
        .array("client")
        .into_iter()
        .zip(1..)
        .map(|(section, rule)| Arc::new(rules::client(rule, section, &names, &listen)))
        .collect();
    let admin_secrets = Arc::new(admins::admins(&mut document));
    document.finish();
    Config {
        listen,
        admin,
        store,
        audit,
        databases,
        rotations,
        clients,
        admin_secrets,
    }
}

fn listen(mut s: Section<'_, '_>) -> Listen {
    let addresses = match s.list("address", listen_address).map(with_ports) {
        Some(addresses) => {
            let twice = |i: usize, a: &ListenAddress| addresses[..i].contains(a);
            if addresses.iter().enumerate().any(|(i, a)| twice(i, a)) {
                s.wrong("the same address stands twice; remove one");
            }
            addresses
        }
        None => vec![ListenAddress::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 6432,
        }],
    };
    let has_certificate = s.has("certificate");
    let tls = listen_tls(&mut s);
    let listen = Listen {
        addresses,
        client_ca: identity::client_ca(&mut s, has_certificate),
        tls,
        max_clients: s.size("max_clients", 10_000, 1..1_000_001),
        handshake_timeout: s.duration("handshake_timeout", 15 * SECOND, SOME),
        shutdown_timeout: s.duration("shutdown_timeout", 30 * SECOND, NONE),
        socket_mode: s.text("socket_mode", mode).unwrap_or(0o660),
        socket_owner: s.value("socket_owner", rules::user),
        socket_group: s.value("socket_group", rules::user),
        proxy_protocol: identity::proxy_protocol(&mut s),
        revoke: identity::revoke(&mut s),
        guard: identity::guard(&mut s),
        allow_untrusted_networks: s.boolean("allow_untrusted_networks").unwrap_or(false),
        user: s.value("user", rules::user),
    };
    s.finish();
    listen
}

fn listen_tls(s: &mut Section<'_, '_>) -> ListenTls {
    #[derive(Clone, Copy)]
    enum Mode {
        Off,
        Allow,
        Require,
    }
    let words = [
        ("off", Mode::Off),
        ("allow", Mode::Allow),
        ("require", Mode::Require),
    ];
    let files = (s.has("certificate"), s.has("key"));
    let mode = s.text("tls", |text| word(text, &words));
    let pair = s.path("certificate").zip(s.path("key"));
    match files {
        (true, false) => s.wrong("certificate needs its private key; add key = \"FILE\""),
        (false, true) => s.wrong("key needs its certificate; add certificate = \"FILE\""),
        _ => {}
    }
    match (mode, pair) {
        (None | Some(Mode::Allow), Some((certificate, key))) => {
            ListenTls::Allow { certificate, key }
        }
        (Some(Mode::Require), Some((certificate, key))) => ListenTls::Require { certificate, key },
        (Some(Mode::Off), _) | (None, None) => ListenTls::Off,
        (Some(Mode::Allow | Mode::Require), None) => {
            if files == (false, false) {
                s.wrong("tls needs a certificate; add certificate = \"FILE\" and key = \"FILE\"");
            }
            ListenTls::Off
        }
    }
}

fn admin(mut s: Section<'_, '_>) -> Admin {
    let address = s.text("address", |text| match text {
        "" => Ok(None),
        text => admin_address(text).map(Some),
    });
    let address = address.unwrap_or_else(|| Some(AdminAddress::Tcp("127.0.0.1:6433".to_owned())));
    let token_file = s.path("token_file");
    if let Some(AdminAddress::Tcp(text)) = &address
        && let Ok((host, _)) = host_port(text)
        && !is_loopback(&host)
        && token_file.is_none()
    {
        s.wrong(format!(
            "address {host} can be reached from other machines, so it needs a token; add token_file = \"FILE\" or use 127.0.0.1"
        ));
    }
    s.finish();
    Admin {
        address,
        token_file,
    }
}

fn admin_address(text: &str) -> Result<AdminAddress, String> {
    let Some(path) = text.strip_prefix("unix:") else {
        return host_port(text).map(|_| AdminAddress::Tcp(text.to_owned()));
    };
    socket_path(path).map(AdminAddress::Unix)
}

fn store(mut s: Section<'_, '_>) -> Store {
    let aws = s
        .text("kind", |text| {
            word(text, &[("embedded", false), ("aws", true)])
        })
        .unwrap_or(false);
    if aws {
        for key in ["address", "tls_certificate", "tls_key"] {
            if s.has(key) {
                s.wrong(format!(
                    "{key} serves the embedded store; remove it or write kind = \"embedded\""
                ));
            }
        }
    }
    let (belong, other) = if aws {
        (["path", "key_file", "key"].as_slice(), "embedded")
    } else {
        (["region", "endpoint_url", "profile"].as_slice(), "aws")
    };
    for key in belong {
        if s.has(key) {
            s.wrong(format!(
                "{key} belongs to another kind of store; remove it or write kind = \"{other}\""
            ));
        }
    }
    let path = s.path("path");
    let key = master_key(&mut s);
    let region = s.text("region", nonempty);
    let endpoint_url = s.text("endpoint_url", |text| {
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        match rest {
            Some(rest) if !rest.is_empty() => nonempty(text),
            _ => Err(format!(
                "{text:?} is no URL; write it like \"https://secretsmanager.eu-west-1.amazonaws.com\""
            )),
        }
    });
    let profile = s.text("profile", nonempty);
    let kind = if aws {
        StoreKind::Aws {
            region,
            endpoint_url,
            profile,
        }
    } else {
        StoreKind::Embedded {
            path: path.unwrap_or_else(|| PathBuf::from("data/store.db")),
            key,
        }
    };
    // Every look-up is a call that AWS counts and throttles.
    let refresh = s.duration("refresh", MINUTE, SECOND);
    let listen = store_listen(&mut s);
    s.finish();
    Store {
        kind,
        refresh,
        listen,
    }
}

fn store_listen(s: &mut Section<'_, '_>) -> Option<StoreListen> {
    let files = (s.has("tls_certificate"), s.has("tls_key"));
    let address = s.text("address", |text| {
        host_port(text).map(|(host, _)| (text.to_owned(), host))
    });
    let pair = s.path("tls_certificate").zip(s.path("tls_key"));
    match files {
        (true, false) => s.wrong("tls_certificate needs its private key; add tls_key = \"FILE\""),
        (false, true) => s.wrong("tls_key needs its certificate; add tls_certificate = \"FILE\""),
        _ => {}
    }
    let Some((address, host)) = address else {
        if files != (false, false) {
            s.wrong("tls_certificate is for an address; add address = \"HOST:PORT\" or remove it");
        }
        return None;
    };
    if files == (false, false) && !is_loopback(&host) {
        s.wrong(format!(
            "address {host} can be reached from other machines, so it needs TLS; add tls_certificate = \"FILE\" and tls_key = \"FILE\", or use 127.0.0.1"
        ));
    }
    let tls = pair.map(|(certificate, key)| StoreTls { certificate, key });
    Some(StoreListen { address, tls })
}

/// `key_file` alone is where the key is; beside `key = "kms:…"` it is where the
/// wrapped one is kept.
fn master_key(s: &mut Section<'_, '_>) -> KeySource {
    let both = s.has("key_file") && s.has("key");
    let file = s.path("key_file");
    let file = file.unwrap_or_else(|| PathBuf::from("data/store.key"));
    let key = s.text("key", |text| KeySource::parse(text, &file));
    if both && !matches!(key, None | Some(KeySource::Kms { .. })) {
        s.wrong("key and key_file both say where the key is; remove one");
    }
    key.unwrap_or(KeySource::File(file))
}

fn audit(mut s: Section<'_, '_>) -> audit::Options {
    let sink = match s.text("path", nonempty).as_deref() {
        None => AuditSink::File("data/audit.jsonl".into()),
        Some("stdout") => AuditSink::Stdout,
        Some(path) => AuditSink::File(path.into()),
    };
    let on_failure = s
        .text("on_failure", |text| {
            word(
                text,
                &[
                    ("deny", OnAuditFailure::Deny),
                    ("continue", OnAuditFailure::Continue),
                ],
            )
        })
        .unwrap_or(OnAuditFailure::Deny);
    s.finish();
    audit::Options { sink, on_failure }
}

fn database(name: Arc<str>, mut s: Section<'_, '_>) -> (Database, Option<Rotation>) {
    if nonempty(&name).is_err() {
        s.wrong("the name is empty or has a control character; give it another");
    }
    if !s.has("secret") {
        s.wrong("there is no secret; add secret = \"NAME\", the name or ARN of its credential");
    }
    // Any id does where there is none: the configuration is refused anyway.
    let secret = s.text("secret", secret);
    let secret = secret.unwrap_or_else(|| crate::secret::SecretId::new(""));
    let tls = s.text("tls", upstream_tls);
    let tls_ca = s.path("tls_ca");
    let tls_identity = match (s.has("tls_certificate"), s.has("tls_key")) {
        (true, false) => {
            s.wrong("tls_certificate needs its private key; add tls_key = \"FILE\"");
            None
        }
        (false, true) => {
            s.wrong("tls_key needs its certificate; add tls_certificate = \"FILE\"");
            None
        }
        _ => Some(()),
    };
    let files = s.path("tls_certificate").zip(s.path("tls_key"));
    let tls_identity = tls_identity.and(files);
    if tls_identity.is_some() && tls == Some(UpstreamTls::Disable) {
        s.wrong("a certificate is shown over TLS only; remove tls = \"disable\"");
    }
    let require_channel_binding = s
        .text("channel_binding", |text| {
            word(text, &[("prefer", false), ("require", true)])
        })
        .unwrap_or(false);
    let auth = s
        .text("auth", |text| {
            let words = [
                ("password", UpstreamAuth::Password),
                ("rds-iam", UpstreamAuth::RdsIam),
            ];
            word(text, &words)
        })
        .unwrap_or_default();
    if auth == UpstreamAuth::RdsIam && tls.is_some_and(|tls| tls != UpstreamTls::VerifyFull) {
        s.wrong(
            "auth = \"rds-iam\" sends its token to the server, so it needs tls = \"verify-full\"",
        );
    }
    if tls_ca.is_some() && matches!(tls, Some(UpstreamTls::Disable | UpstreamTls::Require)) {
        s.wrong("tls_ca is not looked at with this tls; write tls = \"verify-full\" or remove it");
    }
    let pool_size = s.size("pool_size", 20, 1..100_001);
    let min_pool_size = s.size("min_pool_size", 0, 0..100_001);
    if min_pool_size > pool_size {
        s.wrong(format!(
            "min_pool_size {min_pool_size} is above pool_size {pool_size}; lower it"
        ));
    }
    let pool_mode = s
        .text("pool_mode", pool_mode)
        .unwrap_or(PoolMode::Transaction);
    let drain = drain::drain(&mut s, pool_mode);
    let upstream = upstream::Options {
        name: name.clone(),
        host: s.list("host", Hosts::parse).and_then(Hosts::from_list),
        target_session_attrs: s
            .text("target_session_attrs", session_attrs)
            .unwrap_or_default(),
        port: s.integer("port", 1..65_536).and_then(|p| p.try_into().ok()),
        dbname: s.text("dbname", nonempty),
        tls,
        tls_ca,
        tls_identity,
        require_channel_binding,
        min_scram_iterations: s
            .integer("min_scram_iterations", 1..100_001)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(4096),
        auth,
        allow_md5: s.boolean("allow_md5").unwrap_or(false),
        allow_cleartext: s.boolean("allow_cleartext").unwrap_or(false),
        connect_timeout: s.duration("connect_timeout", 15 * SECOND, SOME),
    };
    let database = Database {
        name,
        secret,
        upstream: Arc::new(upstream),
        pool_mode,
        application_name: s.text("application_name", application_name),
        pool_size,
        min_pool_size,
        reserve_pool_size: s.size("reserve_pool_size", 0, 0..100_001),
        reserve_pool_timeout: s.duration("reserve_pool_timeout", 5 * SECOND, NONE),
        max_clients: s.limit("max_clients"),
        server_check_delay: s.duration("server_check_delay", 30 * SECOND, NONE),
        reset_between_clients: s.boolean("reset_between_clients").unwrap_or(true),
        query_timeout: s.duration("query_timeout", NONE, NONE),
        idle_transaction_timeout: s.duration("idle_transaction_timeout", NONE, NONE),
        client_idle_timeout: s.duration("client_idle_timeout", NONE, NONE),
        pool_wait_timeout: s.duration("pool_wait_timeout", 2 * MINUTE, SOME),
        server_idle_timeout: s.duration("server_idle_timeout", 10 * MINUTE, SECOND),
        server_lifetime: s.duration("server_lifetime", 60 * MINUTE, SECOND),
        drain_timeout: drain.timeout,
        drain_deadline_action: drain.action,
        drain_hard_timeout: drain.hard_timeout,
        session_migration: drain.migration,
        login_concurrency: s.size("login_concurrency", 4, 1..1_001),
        rotation_grace: s.duration("rotation_grace", 2 * MINUTE, NONE),
    };
    let rotation = rotation::rotation(&mut s);
    s.finish();
    (database, rotation)
}

fn upstream_tls(text: &str) -> Result<UpstreamTls, String> {
    if matches!(text, "prefer" | "allow") {
        return Err(format!(
            "{text:?} is not offered, because anyone on the path can strip it; write \"verify-full\", or \"disable\" where the path is safe"
        ));
    }
    word(
        text,
        &[
            ("verify-full", UpstreamTls::VerifyFull),
            ("verify-ca", UpstreamTls::VerifyCa),
            ("require", UpstreamTls::Require),
            ("disable", UpstreamTls::Disable),
        ],
    )
}

/// A text in which only the two words that are known stand in braces.
fn application_name(text: &str) -> Result<Arc<str>, String> {
    let rest = text
        .replace("{application_name}", "")
        .replace("{client}", "");
    if rest.contains(['{', '}']) {
        return Err(format!(
            "{text:?} has something else in braces; write {{application_name}} or {{client}}"
        ));
    }
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return Err("write printable ASCII: Postgres replaces everything else".to_owned());
    }
    Ok(text.into())
}

fn session_attrs(text: &str) -> Result<SessionAttrs, String> {
    let all = [
        SessionAttrs::Any,
        SessionAttrs::ReadWrite,
        SessionAttrs::ReadOnly,
        SessionAttrs::PreferStandby,
    ];
    word(text, &all.map(|attrs| (attrs.as_str(), attrs)))
}

fn pool_mode(text: &str) -> Result<PoolMode, String> {
    word(
        text,
        &[
            ("transaction", PoolMode::Transaction),
            ("session", PoolMode::Session),
            ("statement", PoolMode::Statement),
        ],
    )
}
