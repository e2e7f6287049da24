//! `pgvalet audit reconcile`.

use std::io::{self, Write};
use std::path::PathBuf;

use super::Failure;
use super::files::Logs;
use crate::audit::{Evidence, LogFormat, Reconciled, printable, read_postgres, reconcile};
use crate::cli::table;
use crate::cli::words::count;

#[derive(clap::Args)]
pub(in crate::cli) struct Reconcile {
    /// A file of Postgres's log: *.json, *.csv, or text [several times]
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    postgres_log: Vec<PathBuf>,
    /// log_line_prefix of Postgres, for a log in text
    #[arg(long, default_value = "%m [%p] ")]
    prefix: String,
    /// Files of the audit log [default: all of the configured log]
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(super) audit_log: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// So many lines that are left over are printed.
const MOST: usize = 100;

pub(super) fn run(r: &Reconcile, logs: &Logs, out: &mut dyn Write) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    let evidence = Evidence::read(&logs.log, &logs.beside).map_err(|e| failed(&e))?;
    let mut lines = Vec::new();
    for path in &r.postgres_log {
        let format = LogFormat::of(path, &r.prefix).map_err(|e| failed(&e))?;
        read_postgres(path, &format, |line| lines.push(line)).map_err(|e| failed(&e))?;
    }
    let found = reconcile(&evidence, &lines);
    if r.json {
        serde_json::to_writer_pretty(&mut *out, &found).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        show(&found, out)?;
    }
    if found.logins == 0 && found.statements == 0 {
        return Err(Failure::Failed(NOTHING.to_owned()));
    }
    match found.left.is_empty() {
        true => Ok(()),
        false => Err(Failure::Shown),
    }
}

/// Nothing was left over, and nothing was proved.
const NOTHING: &str = "there was nothing to compare: these files tell of no login and of no statement; \
     Postgres writes them with log_connections = on and log_statement = 'all'";

fn show(found: &Reconciled, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{}: {} recorded by pgvalet, {} of rotations",
        count(found.logins, "login"),
        found.logins_found,
        found.logins_of_rotations
    )?;
    writeln!(out, "{}:", count(found.statements, "statement"))?;
    for (client, n) in &found.by_client {
        writeln!(out, "  {n} of {}", printable(client))?;
    }
    writeln!(out, "  {} of pgvalet itself", found.own)?;
    for left in found.left.iter().take(MOST) {
        let text = format!("{}: {}", left.place, printable(&left.why));
        table::paragraph(out, "LEFT OVER ", &text)?;
    }
    match found.left.len().saturating_sub(MOST) {
        0 if found.statements == 0 && found.logins == 0 => Ok(()),
        0 if found.left.is_empty() => writeln!(out, "nothing is left over"),
        0 => Ok(()),
        more => writeln!(out, "and {more} more"),
    }
}
