//! `pgvalet store`: serves the embedded store, and looks after it.

mod backup;
mod copy;
mod policy;
mod principal;
mod rekey;
mod restore;
mod serve;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::record::recorded;
use super::{Failure, block_on, stores};
use crate::config::{Config, Store};
use crate::secret::store_title;
use crate::vault::{self, KeySource, Location, OpenError, Vault};

#[derive(Debug, Clone, clap::Args)]
pub struct StoreArgs {
    /// The embedded store, [store.NAME] [default: [store]]
    #[arg(long, global = true, value_name = "NAME")]
    store: Option<String>,
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum StoreCommand {
    /// Serve the Secrets Manager API on its own, without a proxy
    #[command(after_help = "Example:\n  \
        pgvalet store serve --config store.toml\n\n\
        [store] address says where; SIGTERM ends it")]
    Serve,
    /// Manage who may use the API, and with which keys
    #[command(
        subcommand,
        after_help = "Example:\n  pgvalet store principal add orders-api --policy policy.json"
    )]
    Principal(principal::Command),
    /// Ask what policies decide
    #[command(
        subcommand,
        after_help = "Example:\n  pgvalet store policy simulate --principal orders-api \\\n      \
        --action GetSecretValue --secret prod/orders"
    )]
    Policy(policy::Command),
    /// Copy the store into a file, while it is in use
    #[command(
        after_help = "Example:\n  pgvalet store backup /backup/store-$(date +%F).db\n\n\
        The copy is encrypted under the store's key, which the copy does not contain: keep the key elsewhere"
    )]
    Backup(backup::Args),
    /// Replace the store with a backup
    #[command(
        after_help = "Example:\n  pgvalet store restore /backup/store-2026-01-31.db\n\n\
        Every value of the backup is checked first. Replacing an existing store needs --force;\n\
        that store must not be in use, and is kept under another name.\n\
        Then each credential logs in, to find passwords that have changed since the backup"
    )]
    Restore(restore::Args),
    /// Copy a store to another place: a file to PostgreSQL, or back
    #[command(after_help = "Examples:\n  \
        pgvalet store copy --from data/store.db --to 'postgres://pgvalet@db.internal/secrets'\n  \
        pgvalet store copy --from 'postgres://pgvalet@db.internal/secrets' --to data/store.db\n\n\
        --from or --to left out is the store of the configuration. The target has to be empty.\n\
        Everything is read back and compared before it counts; a copy that fails leaves nothing")]
    Copy(copy::Args),
    /// Give the store a new master key, while it is in use
    #[command(after_help = "Examples:\n  pgvalet store rekey\n  \
        pgvalet store rekey --to kms:alias/pgvalet\n\n\
        It may be interrupted at any moment and run again. Backups made before need the old key,\n\
        which is kept beside the new one")]
    Rekey(rekey::Args),
}

pub fn run(args: &StoreArgs, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let place = Place::of(config, args.store.as_deref())?;
    let recorded = |action: &str, act: &mut dyn FnMut() -> Result<(), Failure>| {
        let action = match place.name {
            Some(name) => format!("{action} --store {name}"),
            None => action.to_owned(),
        };
        recorded(config, &action, act)
    };
    match &args.command {
        StoreCommand::Serve => serve::run(config, &place, out),
        StoreCommand::Principal(command) => {
            if !command.may_be_first() {
                place.existing()?;
            }
            let mut act = || {
                block_on(async {
                    let vault = place.open().await?;
                    principal::run(command, &vault, out).await
                })
            };
            match command.change() {
                Some(change) => recorded(&format!("store principal {change}"), &mut act),
                None => act(),
            }
        }
        StoreCommand::Policy(command) => block_on(async {
            place.existing()?;
            let vault = place.open().await?;
            policy::run(command, &vault, out).await
        }),
        StoreCommand::Backup(args) => {
            recorded("store backup", &mut || backup::run(args, &place, out))
        }
        StoreCommand::Restore(args) => recorded("store restore", &mut || {
            restore::run(args, config, &place, out)
        }),
        StoreCommand::Copy(args) => recorded("store copy", &mut || copy::run(args, &place, out)),
        StoreCommand::Rekey(args) => recorded("store rekey", &mut || rekey::run(args, &place, out)),
    }
}

/// The embedded store of a configuration.
struct Place<'a> {
    /// `None`: it is the default store.
    name: Option<&'a str>,
    store: &'a Store,
    path: &'a Location,
    key: &'a KeySource,
}

impl<'a> Place<'a> {
    fn of(config: &'a Config, name: Option<&'a str>) -> Result<Self, Failure> {
        let (name, store) = stores::chosen(config, name)?;
        match store.kind.embedded() {
            Some((path, key)) => Ok(Self {
                name,
                store,
                path,
                key,
            }),
            None => Err(Failure::Usage(format!(
                "{} kind is \"{}\"; this command is about embedded stores",
                store_title(name),
                store.kind.name()
            ))),
        }
    }

    /// Opens the store, making it where there is none yet.
    async fn open(&self) -> Result<Vault, Failure> {
        let opened = Vault::open(self.path, self.key.clone()).await;
        opened.map_err(failed)
    }

    /// For commands that must not make a store where there is none.
    fn existing(&self) -> Result<(), Failure> {
        match vault::exists(self.path).map_err(failed)? {
            true => Ok(()),
            false => Err(failed(OpenError::None(self.path.clone()))),
        }
    }

    /// For commands about the file of a store.
    fn file(&self) -> Result<&'a Path, Failure> {
        self.path.file().ok_or_else(|| {
            Failure::Usage(format!(
                "the store is at {}, not in a file; back it up with pg_dump, or copy it into a file: \
                 pgvalet store copy --to FILE",
                self.path
            ))
        })
    }
}

fn failed(error: OpenError) -> Failure {
    Failure::Failed(error.to_string())
}

fn shown(path: &Option<PathBuf>) -> String {
    path.as_deref()
        .map_or_else(String::new, |path| path.display().to_string())
}
