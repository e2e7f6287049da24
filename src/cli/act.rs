//! `pgvalet pause`, `resume`, `reconnect`, `kill` and `rotation approve`.

use std::io::{self, Write};

use super::{Failure, status};
use crate::admin::{self, Done};
use crate::config::Config;

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  pgvalet pause orders && ./maintenance && pgvalet resume orders\n\nThe same by HTTP: POST /pause?database=orders on [admin] address, and in the console: PAUSE orders"
)]
pub(super) struct Args {
    /// The database; without it, all of them
    database: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  pgvalet kill --id 17\n  pgvalet kill orders\n\n`pgvalet clients` shows the ids"
)]
pub(super) struct KillArgs {
    /// End every client of this database, and pause it
    #[arg(required_unless_present_any = ["id", "all"])]
    database: Option<String>,
    /// End the one client that has this id
    #[arg(long, conflicts_with_all = ["database", "all"])]
    id: Option<u64>,
    /// End every client of every database, and pause them
    #[arg(long, conflicts_with = "database")]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Subcommand)]
pub(super) enum Rotation {
    /// Let the rotation begin that the schedule of a secret has started, or starts next
    #[command(
        after_help = "Example:\n  pgvalet rotation approve prod/orders\n\nFor secrets with rotation = { approve = true }. The same by HTTP: POST /approve?secret=prod%2Forders\non [admin] address, and in the console: APPROVE prod/orders"
    )]
    Approve(ApproveArgs),
}

#[derive(clap::Args)]
pub(super) struct ApproveArgs {
    /// Name or ARN of the secret
    secret: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn approve(
    Rotation::Approve(args): &Rotation,
    config: &Config,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let path = status::with("/approve", "secret", &args.secret);
    ask(&path, args.json, config, out).await
}

pub(super) async fn run(
    path: &str,
    args: &Args,
    config: &Config,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let database = args.database.as_deref();
    let asked = of_database(path, database);
    let done = ask(&asked, args.json, config, out);
    if path != "/pause" {
        return done.await;
    }
    // The proxy takes back what was begun, as it does where a client of the console leaves.
    let interrupted = tokio::select! {
        done = done => return done,
        interrupted = tokio::signal::ctrl_c() => interrupted,
    };
    interrupted?;
    Err(Failure::Failed(
        "interrupted before every transaction had ended; what was to be paused goes on".to_owned(),
    ))
}

pub(super) async fn kill(
    args: &KillArgs,
    config: &Config,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let path = match args.id {
        Some(id) => format!("/kill?id={id}"),
        None => of_database("/kill", args.database.as_deref()),
    };
    ask(&path, args.json, config, out).await
}

/// The path for one database, or for all.
pub(super) fn of_database(path: &str, database: Option<&str>) -> String {
    match database {
        Some(name) => status::with(path, "database", name),
        None => path.to_owned(),
    }
}

async fn ask(path: &str, json: bool, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let (address, token) = status::admin_with_right(config)?;
    let done: Done = admin::act(&address, token.as_ref(), path).await?;
    if json {
        let json = serde_json::to_string_pretty(&done).map_err(io::Error::other)?;
        writeln!(out, "{json}")?;
        return Ok(());
    }
    writeln!(out, "done: {}", done.done)?;
    for notice in &done.notices {
        writeln!(out, "{notice}")?;
    }
    Ok(())
}
