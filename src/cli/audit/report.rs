//! `pgvalet audit report`.

use std::io::{self, Write};
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::Failure;
use super::files::Logs;
use super::moment::moment;
use super::query::Known;
use crate::audit::{Filter, VersionUse, history, printable};
use crate::cli::{table, words};

#[derive(clap::Args)]
pub(in crate::cli) struct Report {
    /// Files to read, which may be compressed [default: all of the configured log]
    pub(super) files: Vec<PathBuf>,
    /// Only this secret
    #[arg(long)]
    secret: Option<String>,
    /// Only versions that this [[client]] used
    #[arg(long)]
    client: Option<String>,
    /// Only what was used from this time on: 2026-01-31, 2026-01-31T12:00:00Z, or 30 days
    #[arg(long, value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `known`: the names in the configuration.
pub(super) fn run(
    r: &Report,
    logs: &Logs,
    mut known: Known,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let history = history(&logs.log, &logs.beside, r.since, |_| {})
        .map_err(|e| Failure::Failed(format!("the audit log cannot be read: {e}")))?;
    known.note_all(&history);
    let asked = Filter {
        secret: r.secret.clone(),
        client: r.client.clone(),
        ..Filter::default()
    };
    known.check(&asked).map_err(Failure::Usage)?;
    let mut versions = history.versions;
    if let Some(secret) = &r.secret {
        versions.retain(|v| v.secret == *secret);
    }
    if let Some(client) = &r.client {
        versions.retain(|v| v.clients.contains_key(client));
        for version in &mut versions {
            version.clients.retain(|name, _| name == client);
            version.held.retain(|held| held.client == *client);
        }
    }
    if r.since.is_some() {
        let is_used = |v: &VersionUse| !v.clients.is_empty() || v.logins > 0 || v.newest;
        versions.retain(is_used);
    }
    if r.json {
        serde_json::to_writer_pretty(&mut *out, &versions).map_err(io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    if versions.is_empty() {
        return Ok(writeln!(out, "the log tells of no such version")?);
    }
    let mut before = "";
    for version in &versions {
        if version.secret != before {
            writeln!(out, "{}", printable(&version.secret))?;
            before = &version.secret;
        }
        show(version, out)?;
    }
    Ok(())
}

fn show(version: &VersionUse, out: &mut dyn Write) -> io::Result<()> {
    let state = match (version.newest, version.adopted.is_empty()) {
        (true, _) => ", the newest",
        (false, true) => ", never adopted",
        (false, false) => "",
    };
    let adopted = match version.adopted.as_str() {
        "" => String::new(),
        time => format!(", adopted {}", seconds(time)),
    };
    let text = format!(
        "version {}, user {}{adopted}{state}: {}, {} failed",
        printable(&version.version),
        printable(&version.user),
        words::count(version.logins, "login"),
        version.failed_logins
    );
    table::paragraph(out, "  ", &text)?;
    for (name, used) in &version.clients {
        let text = format!(
            "{}: {}, {}, {} to {}",
            printable(name),
            words::count(used.sessions, "session"),
            words::count(used.transactions, "transaction"),
            seconds(&used.first),
            seconds(&used.last)
        );
        table::paragraph(out, "    ", &text)?;
    }
    for (name, reads) in &version.readers {
        let text = format!(
            "read from the store by {}: {}, last {}",
            printable(name),
            words::count(reads.times, "time"),
            seconds(&reads.last)
        );
        table::paragraph(out, "    ", &text)?;
    }
    for held in &version.held {
        let old = if version.newest {
            ""
        } else {
            " (an old version)"
        };
        let text = format!(
            "still in use by {} from {}, session {} since {}{old}",
            printable(&held.client),
            printable(&held.source),
            held.session,
            seconds(&held.since)
        );
        table::paragraph(out, "    ", &text)?;
    }
    Ok(())
}

/// A time without the fraction of its second.
pub(super) fn seconds(time: &str) -> String {
    let time = time.get(..19).unwrap_or(time).replace('T', " ");
    printable(&time)
}
