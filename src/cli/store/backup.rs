//! `pgvalet store backup`.

use std::io::Write;
use std::path::PathBuf;

use super::{Failure, Place, failed};
use crate::cli::words;
use crate::vault;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the copy goes
    file: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

pub fn run(args: &Args, place: &Place<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let file = place.file()?;
    place.existing()?;
    let copied = vault::backup(file, place.key, &args.file, args.force).map_err(failed)?;
    writeln!(
        out,
        "{}: {}, {}, all of which open with the {}",
        args.file.display(),
        words::count(copied.secrets, "secret"),
        words::count(copied.sealed, "value"),
        place.key
    )?;
    writeln!(
        out,
        "The backup does not contain the key; keep a copy of the key elsewhere."
    )?;
    Ok(())
}
