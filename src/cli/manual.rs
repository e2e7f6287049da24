//! `pgvalet completions` and `pgvalet man`: what shells and manual readers take from the
//! definitions of `--help`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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

pub(super) fn completions(args: &CompletionsArgs, out: &mut dyn Write) -> io::Result<()> {
    // It panics where it cannot write.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pgvalet", &mut text);
    out.write_all(&text)
}

pub(super) fn man(args: &ManArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // `pgvalet help`, and a help for each group, would have pages that say nothing.
    let mut command = without_help(Cli::command());
    // Gives the commands of groups their whole names.
    command.build();
    let Some(directory) = &args.directory else {
        out.write_all(page(&command)?.as_bytes())?;
        return Ok(());
    };
    let fail =
        |e: io::Error| Failure::Failed(format!("cannot write to {}: {e}", directory.display()));
    fs::create_dir_all(directory).map_err(fail)?;
    write_pages(&command, directory).map_err(fail)
}

/// Writes the page of a command, and those of the commands below it.
fn write_pages(command: &clap::Command, directory: &Path) -> io::Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    fs::write(directory.join(format!("{name}.1")), page(command)?)?;
    command
        .get_subcommands()
        .try_for_each(|below| write_pages(below, directory))
}

fn page(command: &clap::Command) -> io::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .source(concat!("pgvalet ", env!("CARGO_PKG_VERSION")))
        .manual("pgvalet")
        .render(&mut page)?;
    // What stands below the options of `--help` begins with examples.
    Ok(String::from_utf8_lossy(&page).replace(".SH EXTRA", ".SH EXAMPLES"))
}

fn without_help(command: clap::Command) -> clap::Command {
    command
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}
