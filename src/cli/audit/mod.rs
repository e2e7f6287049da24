//! `pgvalet audit`.

mod query;
mod tail;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::Value;

use super::{Failure, words};
use crate::audit::{Report, table_row, verify};
use crate::config::Config;

#[derive(Subcommand)]
#[command(after_help = "Example:\n  pgvalet audit query --secret prod/orders --since 1h")]
pub(super) enum Command {
    /// Show the records that match
    #[command(after_help = "Examples:\n  \
        pgvalet audit query --client orders-api --since 2026-01-31\n  \
        pgvalet audit query --secret prod/orders --version 0a1b2c3d --event credential.use --json")]
    Query(query::Query),
    /// Check that no record was changed, removed or moved
    #[command(after_help = "Example:\n  pgvalet audit verify data/audit.jsonl*\n\n\
        A log that was cut off at its end shows only by comparison with a hash kept elsewhere.")]
    Verify {
        /// Files of one log, in any order [default: that of the configuration]
        files: Vec<PathBuf>,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
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
        Command::Verify { files, json } => {
            let files = or_configured(files, config)?;
            let report = verify(&files).map_err(|e| Failure::Failed(e.to_string()))?;
            report_on(&report, *json, out)
        }
        Command::Query(q) => {
            let files = or_configured(&q.files, config)?;
            query::run(q, files, out)
        }
        Command::Tail(t) => {
            let named: Vec<PathBuf> = t.file.iter().cloned().collect();
            let files = or_configured(&named, config)?;
            files.iter().try_for_each(|path| tail::run(t, path, out))
        }
    }
}

fn or_configured(
    named: &[PathBuf],
    config: impl FnOnce() -> Result<Config, Failure>,
) -> Result<Vec<PathBuf>, Failure> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let sink = config()?.audit.sink;
    match sink.file() {
        Some(path) => Ok(vec![path.to_owned()]),
        None => Err(Failure::Usage(format!(
            "the configuration writes the audit log to {sink}; name the file that collects it"
        ))),
    }
}

fn report_on(report: &Report, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if json {
        serde_json::to_writer(&mut *out, report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        for note in &report.notes {
            writeln!(out, "note: {note}")?;
        }
        if let (Some(first), Some(last)) = (&report.first, &report.last) {
            let are = if report.records == 1 { "is" } else { "are" };
            writeln!(
                out,
                "{} {are} whole: {} to {}, {} to {}",
                words::count(report.records, "record"),
                first.seq,
                last.seq,
                first.time,
                last.time
            )?;
        } else {
            writeln!(out, "0 records are whole")?;
        }
        if let Some(hash) = &report.last_hash {
            writeln!(out, "the hash of the last record is {hash}")?;
        }
        if let Some(broken) = &report.broken {
            writeln!(out, "BROKEN {broken}")?;
        }
    }
    match report.broken {
        None => Ok(()),
        Some(_) => Err(Failure::Shown),
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
fn show(line: &[u8], record: &Value, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if json {
        out.write_all(line)?;
        out.write_all(b"\n")
    } else {
        writeln!(out, "{}", table_row(record))
    }
}
