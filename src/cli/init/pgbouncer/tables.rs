//! Keys of `[listen]` and `[database.NAME]` from keys of PgBouncer.

use std::time::Duration;

use super::ini::Ini;
use crate::base::duration;
use crate::cli::init::plan::{Table, quoted};
use crate::net::is_loopback;

/// Where PgBouncer looks for a server that has no host.
const SOCKET: &str = "/tmp";

/// PgBouncer's and our default.
const PORT: u16 = 6432;

pub(super) fn listen(ini: &Ini, port: &mut Option<u16>) -> Table {
    let mut table = Table::new(
        "[listen]",
        &["Where clients connect. PgBouncer has the port until it is stopped."],
    );
    let number = port_of(ini.global("listen_port")).unwrap_or(PORT);
    *port = Some(number);
    let hosts = ini.global("listen_addr").unwrap_or("127.0.0.1");
    let mut addresses: Vec<String> = hosts
        .split(',')
        .map(|host| match host.trim() {
            "*" | "" => format!("0.0.0.0:{number}"),
            host if host.contains(':') => format!("[{host}]:{number}"),
            host => format!("{host}:{number}"),
        })
        .collect();
    if let Some(directory) = ini.global("unix_socket_dir").filter(|d| d.starts_with('/')) {
        addresses.push(format!("unix:{directory}"));
    }
    table.list("address", addresses.iter().map(String::as_str));
    let texts = [
        ("client_tls_cert_file", "certificate"),
        ("client_tls_key_file", "key"),
        ("client_tls_ca_file", "client_ca"),
        ("unix_socket_group", "socket_group"),
        ("unix_socket_mode", "socket_mode"),
        ("user", "user"),
    ];
    let has_tls = ini.global("client_tls_cert_file").is_some();
    for (theirs, ours) in texts {
        let of_tls = theirs.starts_with("client_tls_");
        if let Some(text) = ini.global(theirs).filter(|_| has_tls || !of_tls) {
            table.text(ours, text);
        }
    }
    if let Some(mode) = ini.global("client_tls_sslmode").filter(|_| has_tls) {
        let ours = match mode {
            "disable" => "off",
            "allow" | "prefer" => "allow",
            _ => "require",
        };
        table.text("tls", ours);
    }
    if ini.global("so_reuseport") == Some("1") {
        table.set("reuse_port", "true");
    }
    number_of(&mut table, ini.global("max_client_conn"), "max_clients");
    seconds(
        &mut table,
        ini.global("client_login_timeout"),
        "handshake_timeout",
    );
    if let Some(time) = span(ini.global("query_wait_notify"), 1000) {
        table.text("wait_notice", &time);
    }
    table
}

/// A database; its secret is set by `rules`.
pub(super) fn database(name: &str, keys: &[(String, String)], ini: &Ini) -> Table {
    let own = |key: &str| {
        let found = keys.iter().rev().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    };
    let mut table = Table::database(name, &[]);
    let hosts: Vec<&str> = own("host").unwrap_or(SOCKET).split(',').collect();
    match hosts.as_slice() {
        [host] => table.text("host", host.trim()),
        several => table.list("host", several.iter().map(|host| host.trim())),
    }
    if let Some(port) = port_of(own("port")) {
        table.set("port", port.to_string());
    }
    if let Some(dbname) = own("dbname").filter(|dbname| *dbname != name) {
        table.text("dbname", dbname);
    }
    server_tls(&mut table, &hosts, ini);
    match own("target_session_attrs") {
        Some("read-write" | "primary") => table.text("target_session_attrs", "read-write"),
        Some("read-only" | "standby") => table.text("target_session_attrs", "read-only"),
        _ => {}
    }
    let mode = own("pool_mode").or(ini.global("pool_mode"));
    let known = |mode: &&str| ["session", "transaction", "statement"].contains(mode);
    table.text("pool_mode", mode.filter(known).unwrap_or("session"));
    sizes(&mut table, &own, ini);
    let lifetime = own("server_lifetime").or(ini.global("server_lifetime"));
    seconds(&mut table, lifetime, "server_lifetime");
    let idle = "server_idle_timeout";
    match span(ini.global(idle), 1000).as_deref() {
        // They stay: a year is the longest time.
        Some("0s") => table.text(idle, "365d"),
        _ => seconds(&mut table, ini.global(idle), idle),
    }
    seconds(
        &mut table,
        ini.global("server_connect_timeout"),
        "connect_timeout",
    );
    // Here, -1 means that it is not set.
    let wait = own("query_wait_timeout").filter(|wait| !wait.starts_with('-'));
    match wait.or(ini.global("query_wait_timeout")) {
        Some("0") => table.text("pool_wait_timeout", "1d"),
        wait => seconds(&mut table, wait, "pool_wait_timeout"),
    }
    for key in [
        "client_idle_timeout",
        "idle_transaction_timeout",
        "query_timeout",
        "reserve_pool_timeout",
        "server_check_delay",
    ] {
        if let Some(time) = span(ini.global(key), 1000) {
            table.text(key, &time);
        }
    }
    keepalives(&mut table, ini);
    if ini.global("application_name_add_host") == Some("1") {
        table.text("application_name", "{application_name} [{client}]");
    }
    table
}

fn server_tls(table: &mut Table, hosts: &[&str], ini: &Ini) {
    let is_local = |host: &&str| host.trim().starts_with('/') || is_loopback(host.trim());
    let mode = match ini.global("server_tls_sslmode").unwrap_or("prefer") {
        "allow" | "prefer" if hosts.iter().all(is_local) => return,
        "allow" | "prefer" => {
            table.comment.push(
                "TLS is demanded; tls = \"verify-full\" also proves which server answers."
                    .to_owned(),
            );
            "require"
        }
        mode => mode,
    };
    table.text("tls", mode);
    let is_verified = mode.starts_with("verify");
    if let Some(ca) = ini.global("server_tls_ca_file").filter(|_| is_verified) {
        table.text("tls_ca", ca);
    }
    if mode == "disable" {
        return;
    }
    let pair = ["server_tls_cert_file", "server_tls_key_file"].map(|key| ini.global(key));
    if let [Some(certificate), Some(key)] = pair {
        table.text("tls_certificate", certificate);
        table.text("tls_key", key);
    }
    if ini.global("server_tls_protocols") == Some("tlsv1.3") {
        table.text("tls_min_version", "TLSv1.3");
    }
}

fn sizes<'a>(table: &mut Table, own: &impl Fn(&str) -> Option<&'a str>, ini: &'a Ini) {
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<u64>().ok()).filter(|n| *n > 0);
    let size = number(own("pool_size")).or(number(ini.global("default_pool_size")));
    let most = number(own("max_db_connections")).or(number(ini.global("max_db_connections")));
    // PgBouncer's default is 20, as ours is.
    let size = match (size, most) {
        (size, Some(most)) => Some(size.unwrap_or(20).min(most)),
        (size, None) => size,
    };
    if let Some(size) = size {
        table.set("pool_size", size.to_string());
    }
    let least = own("min_pool_size").or(ini.global("min_pool_size"));
    number_of(table, least, "min_pool_size");
    let reserve = own("reserve_pool_size").or(own("reserve_pool"));
    let reserve = reserve.or(ini.global("reserve_pool_size"));
    number_of(table, reserve, "reserve_pool_size");
    let clients = own("max_db_client_connections").or(ini.global("max_db_client_connections"));
    if let Some(clients) = number(clients) {
        table.set("max_clients", clients.to_string());
    }
}

fn keepalives(table: &mut Table, ini: &Ini) {
    if ini.global("tcp_keepalive") == Some("0") {
        table.set("keepalives", "false");
    }
    let is_set = |key| ini.global(key).filter(|value| *value != "0");
    number_of(table, is_set("tcp_keepcnt"), "keepalives_count");
    seconds(table, is_set("tcp_keepidle"), "keepalives_idle");
    seconds(table, is_set("tcp_keepintvl"), "keepalives_interval");
    if let Some(time) = span(is_set("tcp_user_timeout"), 1) {
        table.text("tcp_user_timeout", &time);
    }
}

fn port_of(text: Option<&str>) -> Option<u16> {
    text?.parse().ok().filter(|port| *port > 0)
}

/// A whole number, where there is one.
pub(super) fn number_of(table: &mut Table, text: Option<&str>, ours: &str) {
    if let Some(number) = text.and_then(|text| text.parse::<u64>().ok()) {
        table.set(ours, number.to_string());
    }
}

/// A time that must not be 0: then the default is left.
fn seconds(table: &mut Table, text: Option<&str>, ours: &str) {
    if let Some(time) = span(text, 1000).filter(|time| time != "0s") {
        table.set(ours, quoted(&time));
    }
}

/// A number of PgBouncer, which may have a fraction, as a duration; `unit` is what it counts, in
/// milliseconds.
fn span(text: Option<&str>, unit: u32) -> Option<String> {
    let number: f64 = text?.parse().ok()?;
    let time = Duration::try_from_secs_f64(number * f64::from(unit) / 1000.0).ok()?;
    Some(duration::format(time))
}
