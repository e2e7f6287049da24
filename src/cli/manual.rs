//! `pgvalet completions` and `pgvalet man`: what shells and manual readers take from the
//! definitions of `--help`.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Failure};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  \
        pgvalet completions bash > /usr/share/bash-completion/completions/pgvalet\n\n\
        Packages install these for bash, fish and zsh")]
pub(super) struct CompletionsArgs {
    /// The shell that will read them
    shell: Shell,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  pgvalet man | man -l -\n  \
        pgvalet man --directory /usr/share/man/man1\n\n\
        Packages install the pages of all commands: man pgvalet-secret-create")]
pub(super) struct ManArgs {
    /// Write the page of every command to this directory, instead of the first one to standard output
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, out: &mut dyn Write) {
    clap_complete::generate(args.shell, &mut Cli::command(), "pgvalet", &mut { out });
}

pub(super) fn man(args: &ManArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let Some(directory) = &args.directory else {
        return Ok(clap_mangen::Man::new(Cli::command()).render(&mut { out })?);
    };
    let fail =
        |e: io::Error| Failure::Failed(format!("cannot write to {}: {e}", directory.display()));
    fs::create_dir_all(directory).map_err(fail)?;
    // `pgvalet help`, and a help for each group, would have pages that say nothing.
    let command = without_help(Cli::command());
    clap_mangen::generate_to(command, directory).map_err(fail)
}

fn without_help(command: clap::Command) -> clap::Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}
