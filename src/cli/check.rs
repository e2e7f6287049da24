//! `pgvalet check`.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::online::{Outcome, Said};
use super::{Failure, cost, files, online, table, words};
use crate::access::Rule;
use crate::audit::OnAuditFailure;
use crate::base::Pattern;
use crate::config::{Config, ListenTls, warnings};
use crate::net::{ListenAddress, UpstreamTls};
use crate::pool::Database;
use crate::upstream::Hosts;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  pgvalet check\n  pgvalet check --offline --config config/pgvalet.toml\n  pgvalet check --json | jq '.logins[]'"
)]
pub(super) struct Args {
    /// Look only at the configuration and the files it names
    #[arg(long)]
    pub(super) offline: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    args: &Args,
    file: &Path,
    config: &Config,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if args.json {
        return as_json(args, file, config, out);
    }
    offline(file, config, out)?;
    if args.offline {
        writeln!(
            out,
            "not checked, because of --offline: the store and the servers"
        )?;
        return Ok(());
    }
    super::block_on(online::online(config, out))
}

/// The part that asks nobody: what the configuration says, what in it is
/// doubtful, and whether the files that it names can be used.
pub(super) fn offline(file: &Path, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "{} is valid\n", file.display())?;
    summary(config, out)?;
    for warning in warnings(config) {
        table::paragraph(out, "warning: ", &warning)?;
    }
    for note in worth(config) {
        table::paragraph(out, "note: ", &note)?;
    }
    let problems = files::problems(config);
    for problem in &problems {
        table::paragraph(out, "problem: ", problem)?;
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::Shown),
    }
}

/// The same for programs.
fn as_json(args: &Args, file: &Path, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let problems = files::problems(config);
    let mut logins = Vec::new();
    if !args.offline {
        let mut keep = |said: Said| {
            logins.push(said);
            Ok(())
        };
        super::block_on(online::each(config, &mut keep))?;
    }
    let named = |names: &[&str], row: Vec<String>| -> Value {
        let pairs = names
            .iter()
            .map(ToString::to_string)
            .zip(row.into_iter().map(Value::from));
        Value::Object(pairs.collect())
    };
    let databases = config.databases.values().map(|d| {
        let names = [
            "database",
            "secret",
            "server",
            "tls",
            "pool_mode",
            "pool_size",
        ];
        named(&names, database(d))
    });
    let rules = config.clients.iter().map(|c| {
        json!({
            "rule": c.number,
            "client": &*c.name,
            "recognised_by": conditions(c),
            "databases": c.databases,
            "patterns": c.patterns,
            "users": c.users,
            "secret": c.secret.as_ref().map(ToString::to_string),
        })
    });
    let value = json!({
        "file": file.display().to_string(),
        "databases": databases.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
        "warnings": warnings(config),
        "notes": worth(config),
        "problems": problems,
        "logins": if args.offline { Value::Null } else { json!(logins) },
    });
    writeln!(out, "{value:#}")?;
    let failed = logins.iter().any(|said| said.outcome == Outcome::Failed);
    match problems.is_empty() && !failed {
        true => Ok(()),
        false => Err(Failure::Shown),
    }
}

fn summary(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "listen   {}", listeners(config))?;
    match &config.admin.address {
        Some(address) => writeln!(out, "admin    {address}")?,
        None => writeln!(out, "admin    off")?,
    }
    writeln!(out, "store    {}", config.store.kind)?;
    if let Some(cost) = cost::per_month(config) {
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
    ];
    table::write(out, &head, &rows)?;
    writeln!(out)
}

/// How far the conditions can be trusted by which clients are recognised.
fn worth(config: &Config) -> Vec<String> {
    let is_local = |rule: &Rule| {
        let mut networks = rule.identity.network.iter().flat_map(|n| &n.0);
        networks.all(|n| n.network().is_loopback())
    };
    let by_address = config
        .clients
        .iter()
        .filter(|r| r.identity.is_address_only());
    let (local, remote): (Vec<_>, Vec<_>) = by_address.partition(|rule| is_local(rule));
    let mut notes = Vec::new();
    if let Some(who) = rules(&local, "lets", "let") {
        notes.push(format!(
            "{who} in every user and program of this machine; loopback_user or unix_user tells them apart"
        ));
    }
    if let Some(who) = rules(&remote, "knows", "know") {
        notes.push(format!(
            "{who} clients of other machines by their address alone: as good as the network's promise that nobody else can have it, and no good behind NAT; a certificate is better"
        ));
    }
    if !config.listen.reception.proxy_protocol.is_empty() {
        notes.push(
            "whoever can connect from a [listen] proxy_protocol network can claim any address"
                .to_owned(),
        );
    }
    notes
}

/// "rule 1 lets", "rules 1, 2 and 3 let"; `None` for no rules.
fn rules(rules: &[&Arc<Rule>], one: &str, several: &str) -> Option<String> {
    let numbers: Vec<String> = rules.iter().map(|rule| rule.number.to_string()).collect();
    match &numbers[..] {
        [] => None,
        [number] => Some(format!("rule {number} {one}")),
        _ => Some(format!("rules {} {several}", words::list(&numbers))),
    }
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

fn database(d: &Database) -> Vec<String> {
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
fn conditions(c: &Rule) -> String {
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
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn notes(rules: &[&str]) -> Vec<String> {
        let mut text = "[listen]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\n\
                        [database.a]\nsecret = \"s\"\n"
            .to_owned();
        for rule in rules {
            text += &format!("[[client]]\nname = \"x\"\ndatabases = \"a\"\n{rule}\n");
        }
        let config = config::parse(&text, Path::new("t.toml")).unwrap_or_else(|e| panic!("{e}"));
        worth(&config)
    }

    const TOKEN: &str = "token = { issuer = \"https://i\", audience = \"a\" }";

    #[test]
    fn a_rule_that_asks_for_more_than_an_address_is_not_called_weak() {
        let local = "network = \"127.0.0.0/8\"";
        let remote = "network = \"10.0.0.0/8\"";
        for more in [
            TOKEN,
            "aws_iam = { role = \"arn:aws:iam::1:role/a\" }",
            "certificate = \"cn:a\"",
            "loopback_user = 1",
        ] {
            assert_eq!(notes(&[more]), Vec::<String>::new());
            let both = format!("{local}\n{more}");
            assert_eq!(notes(&[&both]), Vec::<String>::new());
            let both = format!("{remote}\n{more}");
            assert_eq!(notes(&[&both]), Vec::<String>::new());
        }
    }

    #[test]
    fn rules_that_know_clients_by_their_address_alone_are_named() {
        let local = "network = \"127.0.0.0/8\"";
        let remote = "network = \"10.0.0.0/8\"";
        let one = notes(&[TOKEN, local]);
        assert_eq!(one.len(), 1);
        assert!(one[0].starts_with("rule 2 lets in every user and program"));
        let more = notes(&[local, remote, local, remote, remote]);
        assert!(more[0].starts_with("rules 1 and 3 let in every user"));
        assert!(more[1].starts_with("rules 2, 4 and 5 know clients of other machines"));
    }
}
