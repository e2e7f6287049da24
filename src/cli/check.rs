//! `pgvalet check`.
//!
//! * `summary` what the configuration says
//! * `worth`   how far its rules can be trusted

mod summary;
mod worth;

use std::io::Write;
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::certificates::dated;
use super::online::{Outcome, Said};
use super::{Failure, files, online, table};
use crate::config::{Config, warnings};
use summary::{conditions, database, right, stores, summary};
use worth::worth;

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
    for warning in doubts(config) {
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

/// What in the configuration, and in the files that it names, is doubtful.
fn doubts(config: &Config) -> Vec<String> {
    let mut all = warnings(config);
    all.extend(dated(config, SystemTime::now()).warnings);
    all
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
            "admin": c.admin.map(right),
        })
    });
    let value = json!({
        "file": file.display().to_string(),
        "stores": stores(config),
        "databases": databases.collect::<Vec<_>>(),
        "rules": rules.collect::<Vec<_>>(),
        "warnings": doubts(config),
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
