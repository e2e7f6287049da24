//! `pgvalet clients` and `pgvalet servers`.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::act::of_database;
use super::{Failure, status, table};
use crate::admin::{self, ClientView, ServerConnection};
use crate::base::duration::words;
use crate::config::Config;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  pgvalet clients orders\n  pgvalet clients --old\n  pgvalet servers --json | jq '.[].version'"
)]
pub(super) struct Args {
    /// Only of this database
    database: Option<String>,
    /// Only those with a version that is not in force any more
    #[arg(long)]
    old: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn clients(
    args: &Args,
    config: &Config,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut clients: Vec<ClientView> = list("/clients", args, config).await?;
    clients.retain(|c| !args.old || c.old);
    if args.json {
        return json(&clients, out);
    }
    let rows: Vec<Vec<String>> = clients.iter().map(row).collect();
    let head = [
        ">ID", "CLIENT", "DATABASE", "?FROM", "STATE", ">FOR", "VERSION",
    ];
    table::write(out, &head, &rows)?;
    Ok(())
}

fn row(client: &ClientView) -> Vec<String> {
    let state = match &client.pinned {
        Some(pin) => format!("{}, pinned: {pin}", client.state),
        None => client.state.clone(),
    };
    let state = match client.process {
        Some(pid) => format!("{state}, in process {pid}"),
        None => state,
    };
    let version = client.version.as_deref().map_or("", short);
    let old = if client.old { " (old)" } else { "" };
    vec![
        client.id.to_string(),
        client.client.to_string(),
        client.database.to_string(),
        client.source.to_string(),
        state,
        words(Duration::from_millis(client.state_ms)),
        format!("{version}{old}"),
    ]
}

pub(super) async fn servers(
    args: &Args,
    config: &Config,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut servers: Vec<ServerConnection> = list("/servers", args, config).await?;
    servers.retain(|s| !args.old || s.closing);
    if args.json {
        return json(&servers, out);
    }
    let rows: Vec<Vec<String>> = servers
        .iter()
        .map(|s| {
            let closing = if s.closing { " (closing)" } else { "" };
            vec![
                s.pid.to_string(),
                s.database.to_string(),
                s.user.to_string(),
                s.server.clone(),
                format!("{}{closing}", s.state),
                short(&s.version).to_owned(),
                s.client_id.map(|id| id.to_string()).unwrap_or_default(),
            ]
        })
        .collect();
    let head = [
        ">PID", "DATABASE", "USER", "?SERVER", "STATE", "VERSION", ">CLIENT",
    ];
    table::write(out, &head, &rows)?;
    Ok(())
}

/// As much of a version as tells it from others.
fn short(version: &str) -> &str {
    version.get(..8).unwrap_or(version)
}

async fn list<T: DeserializeOwned>(path: &str, args: &Args, config: &Config) -> Result<T, Failure> {
    let (address, token) = status::admin(config)?;
    let path = of_database(path, args.database.as_deref());
    Ok(admin::list(&address, token.as_ref(), &path).await?)
}

fn json(list: &impl Serialize, out: &mut dyn Write) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(list).map_err(io::Error::other)?;
    writeln!(out, "{json}")?;
    Ok(())
}
