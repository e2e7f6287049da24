//! `pgvalet health`: is anything wrong, for people and for whoever watches a proxy.

use std::io::{self, Write};

use super::{Failure, status};
use crate::admin::Trouble;
use crate::config::Config;

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  pgvalet health || systemctl status pgvalet\n\nExit code 0 where nothing is wrong, 1 where something is, or where no proxy answers"
)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Verdict<'a> {
    ready: bool,
    troubles: &'a [Trouble],
}

pub(super) async fn run(args: &Args, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let found = status::ask(config).await?;
    let verdict = Verdict {
        ready: found.ready,
        troubles: &found.troubles,
    };
    if args.json {
        let json = serde_json::to_string_pretty(&verdict).map_err(io::Error::other)?;
        writeln!(out, "{json}")?;
    } else if !found.troubles.is_empty() {
        status::troubles(&found, out)?;
    } else if found.ready {
        writeln!(out, "ok")?;
    } else {
        let why = found.unready.as_deref();
        let why = why.unwrap_or("no database can be served yet");
        writeln!(out, "not ready: {why}")?;
    }
    match found.ready && found.troubles.is_empty() {
        true => Ok(()),
        false => Err(Failure::Shown),
    }
}
