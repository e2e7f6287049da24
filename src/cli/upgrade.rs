//! `pgvalet upgrade`: replaces a running proxy by a new process.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::{Failure, status};
use crate::admin::{self, Done};
use crate::base::duration;
use crate::config::Config;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  apt install pgvalet && pgvalet upgrade\n  pgvalet upgrade --timeout 20s\n\n\
    The new process runs the program by whose path the old one was started, as it is on disk now,\n\
    with the same arguments. If it cannot take over, the old one goes on, and the exit code is 1.\n\
    The same by a signal: kill -USR2 PID"
)]
pub(super) struct Args {
    /// The program of the new process; needs [admin] address = "unix:/…"
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// How long the new process may take until it serves
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    timeout: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let (address, token) = status::admin_with_right(config)?;
    let timeout = format!("{}ms", args.timeout.as_millis());
    let mut path = status::with("/upgrade", "timeout", &timeout);
    if let Some(binary) = &args.binary {
        // The proxy may have been started elsewhere.
        let binary = std::path::absolute(binary)?;
        path = status::with(&path, "binary", &binary.to_string_lossy());
    }
    let done: Done = admin::act(&address, token.as_ref(), &path)
        .await
        .map_err(|e| Failure::Failed(format!("not upgraded: {e}")))?;
    if args.json {
        let json = serde_json::to_string_pretty(&done).map_err(io::Error::other)?;
        writeln!(out, "{json}")?;
        return Ok(());
    }
    for notice in &done.notices {
        writeln!(out, "upgraded: {notice}")?;
    }
    Ok(())
}
