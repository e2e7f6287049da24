//! `pgvalet audit`.

mod query;
mod tail;
mod verify;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value;

use super::Failure;
use crate::audit::{Source, segments, table_row};
use crate::config::Config;
use query::Known;

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
            let files = segments(&log)?;
            query::run(q, files, Some(&log), Known::of(&config), out)
        }
        Command::Query(q) => query::run(q, q.files.clone(), None, Known::default(), out),
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

/// The logs of commands beside the proxy's (see `cli::record`).
fn beside(log: &Path) -> Vec<PathBuf> {
    let stem = log.file_stem().unwrap_or_default().to_string_lossy();
    let is_one = |name: &str| {
        let rest = name
            .strip_prefix(&*stem)
            .and_then(|n| n.strip_suffix(".jsonl"));
        let kind = rest.and_then(|r| r.rsplit_once('-')).map(|(kind, _)| kind);
        matches!(kind, Some(".cli" | ".rotate"))
    };
    let directory = match log.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|e| is_one(&e.file_name().to_string_lossy()))
        .map(|e| e.path())
        .collect();
    found.sort();
    found
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
fn show(line: &[u8], record: &Value, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        out.write_all(line)?;
        out.write_all(b"\n")
    } else {
        writeln!(out, "{}", table_row(record))
    }
}
