//! `pgvalet store restore`.

use std::io::{self, Write};
use std::path::PathBuf;

use super::{Failure, Place, block_on, failed, shown};
use crate::cli::secret::time;
use crate::cli::{online, words};
use crate::config::Config;
use crate::vault::{self, Copied};

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// A file that `pgvalet store backup` made
    file: PathBuf,
    /// Replace the store that is there
    #[arg(long)]
    force: bool,
    /// Do not try whether the credentials still log in
    #[arg(long)]
    offline: bool,
}

pub fn run(
    args: &Args,
    config: &Config,
    place: &Place<'_>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let path = place.file()?;
    let copied = vault::restore(&args.file, path, place.key, args.force).map_err(failed)?;
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
        path.display(),
        words::count(copied.secrets, "secret"),
        words::count(copied.sealed, "value")
    )?;
    older(&copied, out)?;
    if args.offline {
        return Ok(());
    }
    block_on(refused(config, out))
}

/// Names the secrets that were newer in the store that is replaced.
fn older(copied: &Copied, out: &mut dyn Write) -> io::Result<()> {
    if copied.older.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\nThese secrets are older than in the store that was there:"
    )?;
    for older in &copied.older {
        writeln!(
            out,
            "  {}: version {} of {}, not {} of {}",
            older.secret,
            older.version,
            time(older.made),
            older.newer,
            time(older.newer_made)
        )?;
    }
    writeln!(
        out,
        "To read their newer values, set [store] path to {} in a copy of the configuration.",
        shown(&copied.replaced)
    )
}

/// Names the secrets whose passwords Postgres refuses.
async fn refused(config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    let asked = online::refused(config).await?;
    if !asked.refused.is_empty() {
        writeln!(out, "\nThese secrets are older than what Postgres has now:")?;
        for why in &asked.refused {
            writeln!(out, "  {why}")?;
        }
        writeln!(
            out,
            "Set the role's password to that of the secret (ALTER ROLE … PASSWORD), or store the password\n\
             that Postgres has: pgvalet secret put NAME. Until then no new server connection can log in."
        )?;
    }
    if !asked.unknown.is_empty() {
        writeln!(out, "\nWhether these secrets still log in is not known:")?;
        for why in &asked.unknown {
            writeln!(out, "  {why}")?;
        }
        writeln!(
            out,
            "Run `pgvalet check` when their servers can be reached."
        )?;
    }
    Ok(())
}
