//! `pgvalet store`: the embedded store as others use it.

mod principal;
mod serve;

use std::io::Write;

use clap::Subcommand;

use super::{Failure, block_on};
use crate::config::{Config, StoreKind};
use crate::vault::Vault;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve the Secrets Manager API on its own, without a proxy
    #[command(after_help = "Example:\n  \
        pgvalet store serve --config store.toml\n\n\
        [store] address says where; SIGTERM ends it")]
    Serve,
    /// Who may use the API, and with which keys
    #[command(
        subcommand,
        after_help = "Example:\n  pgvalet store principal add orders-api --policy policy.json"
    )]
    Principal(principal::Command),
}

pub(super) fn run(command: &Command, config: Config, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        Command::Serve => serve::run(config, out),
        Command::Principal(command) => block_on(async {
            let vault = open(&config).await?;
            principal::run(command, &vault, out).await
        }),
    }
}

async fn open(config: &Config) -> Result<Vault, Failure> {
    match &config.store.kind {
        StoreKind::Embedded { path, key_file } => Vault::open(path, key_file)
            .await
            .map_err(|e| Failure::Failed(e.to_string())),
        StoreKind::Aws { .. } => Err(Failure::Usage(
            "[store] kind is \"aws\": this is about the embedded store".into(),
        )),
    }
}
