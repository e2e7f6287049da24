//! What a configuration says, as tables.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::access::{AdminRight, Rule};
use crate::audit::OnAuditFailure;
use crate::base::Pattern;
use crate::cli::{cost, table};
use crate::config::{Config, ListenTls};
use crate::net::{ListenAddress, UpstreamTls};
use crate::pool::Database;
use crate::upstream::Hosts;

pub(super) fn summary(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "listen   {}", listeners(config))?;
    match &config.admin.address {
        Some(address) => writeln!(out, "admin    {address}")?,
        None => writeln!(out, "admin    off")?,
    }
    for (name, store) in config.stores.iter() {
        let name = name
            .as_deref()
            .map_or_else(String::new, |n| format!("{n}: "));
        let only = if store.kind.is_only_read() {
            "; pgvalet can only read there"
        } else {
            ""
        };
        writeln!(out, "store    {name}{}{only}", store.kind)?;
    }
    for cost in cost::per_month(config) {
        writeln!(out, "cost     {cost}")?;
    }
    writeln!(out, "audit    {}\n", audit(config))?;
    let rows: Vec<_> = config.databases.values().map(|d| database(d)).collect();
    table::write(
        out,
        &["DATABASE", "SECRET", "SERVER", "?TLS", "?MODE", "?>SIZE"],
        &rows,
    )?;
    writeln!(out)?;
    let rows: Vec<_> = config.clients.iter().map(|c| client(c)).collect();
    let head = [
        ">RULE",
        "CLIENT",
        "RECOGNISED BY",
        "DATABASES",
        "?USERS",
        "?SECRET",
        "?ADMIN",
    ];
    table::write(out, &head, &rows)?;
    writeln!(out)
}

/// The stores, for programs.
pub(super) fn stores(config: &Config) -> Vec<Value> {
    let all = config.stores.iter();
    all.map(|(name, store)| {
        json!({
            "store": name,
            "kind": store.kind.name(),
            "where": store.kind.to_string(),
            "only_read": store.kind.is_only_read(),
        })
    })
    .collect()
}

fn listeners(config: &Config) -> String {
    let addresses: Vec<String> = config
        .listen
        .addresses
        .iter()
        .map(|address| match address {
            ListenAddress::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            ListenAddress::Tcp { host, port } => format!("{host}:{port}"),
            ListenAddress::Unix { directory, port } => {
                format!("{}/.s.PGSQL.{port}", directory.display())
            }
        })
        .collect();
    let tls = match config.listen.tls {
        ListenTls::Off => "off",
        ListenTls::Allow { .. } => "allowed",
        ListenTls::Require { .. } => "required",
    };
    format!("{} (TLS {tls})", addresses.join(", "))
}

fn audit(config: &Config) -> String {
    let sink = &config.audit.sink;
    match config.audit.on_failure {
        OnAuditFailure::Deny => format!("{sink}; no session without a record"),
        OnAuditFailure::Continue => format!("{sink}; sessions go on without a record"),
    }
}

pub(super) fn database(d: &Database) -> Vec<String> {
    let u = &d.upstream;
    let host = u.host.as_ref().map(ToString::to_string);
    let host = host.as_deref().unwrap_or("(secret)");
    let port = u.port.map(|p| format!(":{p}")).unwrap_or_default();
    let dbname = u
        .dbname
        .as_deref()
        .map(|d| format!("/{d}"))
        .unwrap_or_default();
    let tls = match u.tls {
        None => match u.host.as_ref().map(Hosts::are_local) {
            Some(true) => "disable",
            Some(false) => "verify-full",
            None => "verify-full, disable on loopback",
        },
        Some(UpstreamTls::Disable) => "disable",
        Some(UpstreamTls::Require) => "require",
        Some(UpstreamTls::VerifyCa) => "verify-ca",
        Some(UpstreamTls::VerifyFull) => "verify-full",
    };
    vec![
        d.name().to_string(),
        d.secret.to_string(),
        format!("{host}{port}{dbname}"),
        tls.to_owned(),
        d.pool_mode.as_str().to_owned(),
        d.pool_size.to_string(),
    ]
}

/// The databases of a rule as the file names them, and what a pattern covers.
fn databases(rule: &Rule) -> String {
    /// Names of databases that are written out behind a pattern.
    const SHOWN: usize = 4;
    let names = rule.patterns.iter().map(|written| {
        let pattern = Pattern::new(&**written);
        let mut covered = rule.databases.iter().filter(|d| pattern.matches(d));
        if !written.contains('*') {
            return written.to_string();
        }
        let shown: Vec<&str> = covered.by_ref().take(SHOWN).map(|d| &**d).collect();
        let more = match covered.count() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        format!("{written} ({}{more})", shown.join(", "))
    });
    names.collect::<Vec<_>>().join(", ")
}

/// How the clients of a rule are recognised, and when.
pub(super) fn conditions(c: &Rule) -> String {
    let conditions = c.identity.conditions();
    let mut conditions: Vec<String> = conditions.map(|(_, c)| c.describe()).collect();
    if let Some(valid) = &c.valid {
        conditions.push(valid.to_string());
    }
    conditions.join(" and ")
}

fn client(c: &Rule) -> Vec<String> {
    vec![
        c.number.to_string(),
        c.name.to_string(),
        conditions(c),
        databases(c),
        c.users
            .as_ref()
            .map_or_else(|| "any".to_owned(), |u| u.join(", ")),
        c.secret
            .as_ref()
            .map_or_else(|| "the database's".to_owned(), ToString::to_string),
        c.admin.map_or("no", right).to_owned(),
    ]
}

/// What a rule with `admin` may do in the console.
pub(super) fn right(right: AdminRight) -> &'static str {
    match right {
        AdminRight::Read => "read",
        AdminRight::Change => "change",
    }
}
