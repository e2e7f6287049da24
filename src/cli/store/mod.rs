//! `pgvalet store`: looking after the embedded store itself.

mod backup;
mod rekey;
mod restore;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::Failure;
use crate::config::{Config, StoreKind};
use crate::vault::{KeySource, OpenError};

#[derive(Debug, Clone, Subcommand)]
pub enum StoreCommand {
    /// Copy the store into a file, while it serves
    #[command(
        after_help = "Example:\n  pgvalet store backup /backup/store-$(date +%F).db\n\n\
        The copy is sealed under the store's key, which is not in it: keep that elsewhere"
    )]
    Backup(backup::Args),
    /// Put a backup in the place of the store
    #[command(
        after_help = "Example:\n  pgvalet store restore /backup/store-2026-01-31.db\n\n\
        The backup is checked first, every value of it. A store that is there needs --force,\n\
        may not be in use, and is kept under another name"
    )]
    Restore(restore::Args),
    /// Give the store a new master key, while it serves
    #[command(after_help = "Examples:\n  pgvalet store rekey\n  \
        pgvalet store rekey --to kms:alias/pgvalet\n\n\
        May be interrupted at any moment and run again. Backups made before it need the old\n\
        key, which is kept beside the new one")]
    Rekey(rekey::Args),
}

pub fn run(command: &StoreCommand, config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let place = Place::of(config)?;
    match command {
        StoreCommand::Backup(args) => backup::run(args, &place, out),
        StoreCommand::Restore(args) => restore::run(args, &place, out),
        StoreCommand::Rekey(args) => rekey::run(args, &place, out),
    }
}

/// The embedded store of a configuration.
struct Place<'a> {
    path: &'a Path,
    key: &'a KeySource,
}

impl<'a> Place<'a> {
    fn of(config: &'a Config) -> Result<Self, Failure> {
        match &config.store.kind {
            StoreKind::Embedded { path, key } => Ok(Self { path, key }),
            StoreKind::Aws { .. } => Err(Failure::Usage(
                "[store] kind is \"aws\"; there is no embedded store in this configuration".into(),
            )),
        }
    }

    /// For commands that must not make a store where there is none.
    fn existing(&self) -> Result<(), Failure> {
        if self.path.exists() {
            return Ok(());
        }
        Err(Failure::Failed(format!(
            "there is no store at {} yet; `pgvalet secret create NAME` makes it",
            self.path.display()
        )))
    }
}

fn failed(error: OpenError) -> Failure {
    Failure::Failed(error.to_string())
}

fn shown(path: &Option<PathBuf>) -> String {
    path.as_deref()
        .map_or_else(String::new, |path| path.display().to_string())
}
