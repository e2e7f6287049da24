//! `pgvalet store restore`.

use std::io::Write;
use std::path::PathBuf;

use super::{Failure, Place, failed, shown};
use crate::cli::words;
use crate::vault;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// A file that `pgvalet store backup` made
    file: PathBuf,
    /// Replace the store that is there
    #[arg(long)]
    force: bool,
}

pub fn run(args: &Args, place: &Place<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let copied = vault::restore(&args.file, place.path, place.key, args.force).map_err(failed)?;
    if copied.replaced.is_some() {
        writeln!(
            out,
            "The store that was there is now {}",
            shown(&copied.replaced)
        )?;
    }
    writeln!(
        out,
        "{}: {}, {}",
        place.path.display(),
        words::count(copied.secrets, "secret"),
        words::count(copied.sealed, "value")
    )?;
    Ok(())
}
