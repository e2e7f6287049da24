//! `pgvalet config`: about the configuration file as such.

use std::io::Write;

use super::Failure;
use crate::config;

#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Print the JSON Schema of the configuration file, for editors and for checks of templates
    #[command(after_help = "Example:\n  \
        pgvalet config schema > pgvalet.schema.json\n\n\
        An editor with a TOML plug-in then completes a file that begins with\n  \
        #:schema ./pgvalet.schema.json")]
    Schema,
}

pub(super) fn run(command: &Command, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        Command::Schema => out.write_all(config::schema().as_bytes())?,
    }
    Ok(())
}
