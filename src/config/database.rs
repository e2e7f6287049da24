//! `[database.NAME]`: a server, how to log in there, and the pool of connections to it.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use super::drain::drain;
use super::read::word;
use super::rotation::rotation;
use super::section::Section;
use crate::base::nonempty;
use crate::net::tls::{Identity, TlsOptions, TlsVersion};
use crate::net::{Keepalives, TcpOptions, UpstreamTls};
use crate::pool::{Database, OnDown, PoolMode};
use crate::rotation::Rotation;
use crate::secret::{SecretId, UpstreamAuth};
use crate::upstream::{self, Hosts, SessionAttrs};

const SESSION_ATTRS: [SessionAttrs; 4] = [
    SessionAttrs::Any,
    SessionAttrs::ReadWrite,
    SessionAttrs::ReadOnly,
    SessionAttrs::PreferStandby,
];

pub(super) fn database(name: Arc<str>, mut s: Section<'_, '_>) -> (Database, Option<Rotation>) {
    if nonempty(&name).is_err() {
        s.wrong("the name is empty or has a control character; give it another");
    }
    let database = pool(&mut s, name);
    let rotation = rotation(&mut s);
    s.finish();
    (database, rotation)
}

fn pool(s: &mut Section<'_, '_>, name: Arc<str>) -> Database {
    let secret = secret_of(s);
    let upstream = Arc::new(server(s, name));
    let modes = [
        ("transaction", PoolMode::Transaction),
        ("session", PoolMode::Session),
        ("statement", PoolMode::Statement),
    ];
    let pool_mode = s.choice("pool_mode", modes);
    let (pool_size, min_pool_size) = sizes(s);
    let drain = drain(s, pool_mode);
    Database {
        secret,
        upstream,
        pool_mode,
        application_name: s.text("application_name", application_name),
        client_setting: s.boolean("client_setting"),
        pool_size,
        min_pool_size,
        reserve_pool_size: s.number("reserve_pool_size").unwrap_or_default(),
        reserve_pool_timeout: s.duration("reserve_pool_timeout"),
        fleet_size: s.number("fleet_size"),
        max_clients: s.number("max_clients"),
        server_check_delay: s.duration("server_check_delay"),
        reset_between_clients: s.boolean("reset_between_clients"),
        reuse_plans: s.boolean("reuse_plans"),
        query_timeout: s.duration("query_timeout"),
        idle_transaction_timeout: s.duration("idle_transaction_timeout"),
        client_idle_timeout: s.duration("client_idle_timeout"),
        pool_wait_timeout: s.duration("pool_wait_timeout"),
        on_down: s.choice(
            "on_down",
            [("queue", OnDown::Queue), ("refuse", OnDown::Refuse)],
        ),
        max_waiting: s.number("max_waiting").unwrap_or_default(),
        server_idle_timeout: s.duration("server_idle_timeout"),
        server_lifetime: s.duration("server_lifetime"),
        drain_timeout: drain.timeout,
        drain_deadline_action: drain.action,
        drain_hard_timeout: drain.hard_timeout,
        session_migration: drain.migration,
        login_concurrency: s.number("login_concurrency").unwrap_or_default(),
        rotation_grace: s.duration("rotation_grace"),
    }
}

fn secret_of(s: &mut Section<'_, '_>) -> SecretId {
    if !s.has("secret") {
        s.wrong("there is no secret; add secret = \"NAME\", the name or ARN of its credential");
    }
    // If there is none, any id will do: the configuration is refused anyway.
    s.secret("secret").unwrap_or_else(|| SecretId::new(""))
}

/// `pool_size` and `min_pool_size`.
fn sizes(s: &mut Section<'_, '_>) -> (usize, usize) {
    let size = s.number("pool_size").unwrap_or_default();
    let least = s.number("min_pool_size").unwrap_or_default();
    if least > size {
        s.wrong(format!(
            "min_pool_size {least} is above pool_size {size}; lower it"
        ));
    }
    (size, least)
}

/// Where the server is, and how to log in there.
fn server(s: &mut Section<'_, '_>, name: Arc<str>) -> upstream::Options {
    let tls = s.text("tls", upstream_tls);
    upstream::Options {
        name,
        host: s.list("host", Hosts::parse).and_then(Hosts::from_list),
        prefer_socket: s.text("prefer_socket", socket_directory),
        target_session_attrs: s.choice(
            "target_session_attrs",
            SESSION_ATTRS.map(|a| (a.as_str(), a)),
        ),
        port: s.number("port"),
        dbname: s.text("dbname", nonempty),
        tls,
        tls_options: tls_options(s, tls),
        tcp: tcp(s),
        require_channel_binding: s
            .choice("channel_binding", [("prefer", false), ("require", true)]),
        scram_iterations: scram_iterations(s),
        auth: auth(s, tls),
        allow_md5: s.boolean("allow_md5"),
        allow_cleartext: s.boolean("allow_cleartext"),
        connect_timeout: s.duration("connect_timeout"),
        store: None,
    }
}

fn socket_directory(text: &str) -> Result<Arc<str>, String> {
    match text.starts_with('/') {
        true => Ok(text.into()),
        false => Err(format!(
            "{text:?} is no absolute path; write the directory of the socket, like \"/var/run/postgresql\""
        )),
    }
}

/// `min_scram_iterations` and `scram_max_iterations`.
fn scram_iterations(s: &mut Section<'_, '_>) -> RangeInclusive<u32> {
    let least = s.number("min_scram_iterations").unwrap_or_default();
    let most = s.number("scram_max_iterations").unwrap_or_default();
    if least > most {
        s.wrong(format!(
            "min_scram_iterations {least} is above scram_max_iterations {most}; lower it"
        ));
    }
    least..=most
}

fn upstream_tls(text: &str) -> Result<UpstreamTls, String> {
    if matches!(text, "prefer" | "allow") {
        return Err(format!(
            "{text:?} is not offered, because anyone on the path can strip it; write \"verify-full\", or \"disable\" where the path is safe"
        ));
    }
    let words = [
        ("verify-full", UpstreamTls::VerifyFull),
        ("verify-ca", UpstreamTls::VerifyCa),
        ("require", UpstreamTls::Require),
        ("disable", UpstreamTls::Disable),
    ];
    word(text, &words)
}

fn tls_ca(s: &mut Section<'_, '_>, tls: Option<UpstreamTls>) -> Option<PathBuf> {
    let ca = s.path("tls_ca");
    if ca.is_some() && matches!(tls, Some(UpstreamTls::Disable | UpstreamTls::Require)) {
        s.wrong("tls_ca is not looked at with this tls; write tls = \"verify-full\" or remove it");
    }
    ca
}

fn tls_identity(s: &mut Section<'_, '_>, tls: Option<UpstreamTls>) -> Option<Identity> {
    let pair = s.pair("tls_certificate", "tls_key");
    let password = s.path("tls_key_password_file");
    if pair.is_some() && tls == Some(UpstreamTls::Disable) {
        s.wrong("a certificate is shown over TLS only; remove tls = \"disable\"");
    }
    if pair.is_none() && password.is_some() {
        s.wrong("tls_key_password_file is the password of tls_key; add tls_key or remove it");
    }
    let (certificate, key) = pair?;
    Some(Identity {
        certificate,
        key,
        password,
    })
}

fn tls_options(s: &mut Section<'_, '_>, tls: Option<UpstreamTls>) -> TlsOptions {
    let ca = tls_ca(s, tls);
    let crl = s.paths("tls_crl");
    if !crl.is_empty() && matches!(tls, Some(UpstreamTls::Disable | UpstreamTls::Require)) {
        s.wrong("tls_crl is not looked at with this tls; write tls = \"verify-full\" or remove it");
    }
    let versions = [("TLSv1.2", TlsVersion::V1_2), ("TLSv1.3", TlsVersion::V1_3)];
    TlsOptions {
        ca,
        crl,
        identity: tls_identity(s, tls),
        min_version: s.choice("tls_min_version", versions),
    }
}

fn tcp(s: &mut Section<'_, '_>) -> TcpOptions {
    let keepalives = Keepalives {
        idle: s.duration("keepalives_idle"),
        interval: s.duration("keepalives_interval"),
        count: s.number("keepalives_count").unwrap_or_default(),
    };
    TcpOptions {
        keepalives: s.boolean("keepalives").then_some(keepalives),
        user_timeout: s.duration("tcp_user_timeout"),
    }
}

fn auth(s: &mut Section<'_, '_>, tls: Option<UpstreamTls>) -> UpstreamAuth {
    let words = [
        ("password", UpstreamAuth::Password),
        ("rds-iam", UpstreamAuth::RdsIam),
    ];
    let auth = s.choice("auth", words);
    if auth == UpstreamAuth::RdsIam && tls.is_some_and(|tls| tls != UpstreamTls::VerifyFull) {
        s.wrong(
            "auth = \"rds-iam\" sends its token to the server, so it needs tls = \"verify-full\"",
        );
    }
    auth
}

/// Accepts a text in which nothing but the two known words stands in braces.
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
