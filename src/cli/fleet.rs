//! `pgvalet fleet`: what several replicas need.

use std::io::Write;
use std::path::PathBuf;

use super::Failure;
use crate::config::Config;
use crate::fleet::make_key;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Make the key that all replicas need: a file of mode 0600, which is never overwritten
    #[command(after_help = "Examples:\n  \
        pgvalet fleet key                     the file that [fleet] key_file names\n  \
        pgvalet fleet key secrets/fleet.key\n\n\
        Copy the file to every replica: a replica that makes its own belongs to no other")]
    Key(KeyArgs),
}

#[derive(clap::Args)]
pub(super) struct KeyArgs {
    /// The file [default: that of [fleet] key_file]
    file: Option<PathBuf>,
}

/// `load`: reads the configuration, which a command that names its file does not need.
pub(super) fn run(
    command: &Command,
    load: impl FnOnce() -> Result<Config, Failure>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let Command::Key(args) = command;
    let file = match &args.file {
        Some(file) => file.clone(),
        None => load()?.fleet.map(|fleet| fleet.key_file).ok_or_else(|| {
            Failure::Usage(
                "there is no [fleet] in the configuration; name the file: pgvalet fleet key FILE"
                    .to_owned(),
            )
        })?,
    };
    make_key(&file).map_err(|e| Failure::Failed(e.to_string()))?;
    writeln!(
        out,
        "made {}; copy it to every replica, and name it there with [fleet] key_file",
        file.display()
    )?;
    Ok(())
}
