//! `pgvalet audit`.

mod compliance;
mod files;
mod moment;
mod query;
mod reconcile;
mod report;
mod rows;
mod tail;
mod verify;
mod who;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value;

use super::Failure;
use crate::audit::{Source, of_old_format, segments, table_row};
use crate::config::Config;
use query::Known;
use rows::Rows;

#[derive(Subcommand)]
#[command(after_help = "Example:\n  pgvalet audit query --secret prod/orders --since 1h")]
pub(super) enum Command {
    /// Show the records that match
    #[command(after_help = "Examples:\n  \
        pgvalet audit query --client orders-api --since 2026-01-31\n  \
        pgvalet audit query --secret prod/orders --version 0a1b2c3d --event credential.use --json")]
    Query(query::Query),
    /// Check that no record was changed, removed or moved
    #[command(
        after_help = "Example:\n  pgvalet audit verify --key audit.pub --checkpoint yesterday.checkpoint\n\n\
        The key and the checkpoint beside the log can be replaced together with it. To see that, keep\n\
        the key, and a checkpoint from time to time, somewhere else."
    )]
    Verify(verify::Verify),
    /// Write a proof that a record is in the log, for somebody who has only its public key
    #[command(
        after_help = "Example:\n  pgvalet audit prove 4711 >4711.tlog-proof\n\n\
        The proof has the form of C2SP's tlog-proof; its extra data is the record."
    )]
    Prove(verify::Prove),
    /// Show who used which versions, and who still holds an old one
    #[command(after_help = "Examples:\n  \
        pgvalet audit report --secret prod/orders\n  \
        pgvalet audit report --client orders-api --since 30d")]
    Report(report::Report),
    /// Show who used a version in a span of time
    #[command(after_help = "Example:\n  \
        pgvalet audit who --version 0a1b2c3d --between 2026-01-31T12:00:00Z 2026-01-31T13:00:00Z")]
    Who(who::Who),
    /// Write what an auditor asks for: ages, rotations, clients, gaps
    #[command(
        after_help = "Example:\n  pgvalet audit compliance --since 90d --format html >audit.html"
    )]
    Compliance(compliance::Compliance),
    /// Compare with the log of Postgres: every login and every statement
    #[command(after_help = "Example:\n  \
        pgvalet audit reconcile --postgres-log /var/log/postgresql/postgresql.csv\n\n\
        Postgres has to log in UTC, with log_connections = on and log_statement = 'all'. Statements of\n\
        transaction mode need [audit] leases = true.")]
    Reconcile(reconcile::Reconcile),
    /// Show the last records
    #[command(after_help = "Example:\n  pgvalet audit tail --follow")]
    Tail(tail::Tail),
}

/// Runs a command. The configuration is read only where no file was named.
pub(super) fn run(
    command: &Command,
    config: impl FnOnce() -> Result<Config, Failure>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match command {
        Command::Verify(v) => {
            if v.files.is_empty() {
                return verify::run_all(v, &configured(config)?, out);
            }
            verify::run(v, &Source::Files(v.files.clone()), out)
        }
        Command::Prove(p) => {
            let log = p.log.clone().map_or_else(|| configured(config), Ok)?;
            verify::run_prove(p, &log, out)
        }
        Command::Query(q) if q.files.is_empty() => {
            let config = config()?;
            let log = log_of(&config)?;
            // Those that an older pgvalet wrote are the oldest.
            let mut files = of_old_format(&log)?;
            files.extend(segments(&log)?);
            query::run(q, files, Some(&log), Known::of(&config), out)
        }
        Command::Query(q) => query::run(q, q.files.clone(), None, Known::default(), out),
        Command::Report(r) => {
            let mut known = Known::default();
            let logs = files::logs(&r.files, || {
                let config = config()?;
                known = Known::of(&config);
                Ok(config)
            })?;
            report::run(r, &logs, known, out)
        }
        Command::Who(w) => who::run(w, &files::logs(&w.files, config)?, out),
        Command::Reconcile(r) => reconcile::run(r, &files::logs(&r.audit_log, config)?, out),
        Command::Compliance(c) => compliance::run(c, config()?, out),
        Command::Tail(t) => {
            let path = t.file.clone().map_or_else(|| configured(config), Ok)?;
            tail::run(t, &path, out)
        }
    }
}

/// The log that the configuration names.
fn configured(config: impl FnOnce() -> Result<Config, Failure>) -> Result<PathBuf, Failure> {
    log_of(&config()?)
}

fn log_of(config: &Config) -> Result<PathBuf, Failure> {
    let sink = &config.audit.sink;
    match sink.file() {
        Some(path) => Ok(path.to_owned()),
        None => Err(Failure::Usage(format!(
            "the configuration writes the audit log to {sink}; name the file that collects it"
        ))),
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|e| {
        Failure::Failed(format!(
            "the audit log {} cannot be read: {e}",
            path.display()
        ))
    })
}

/// Prints one record: the line as it was written, or a row of the table.
fn show(line: &[u8], record: &Value, rows: Option<&Rows>, out: &mut dyn Write) -> io::Result<()> {
    match rows {
        Some(rows) => rows.row(table_row(record), out),
        None => {
            out.write_all(line)?;
            out.write_all(b"\n")
        }
    }
}
