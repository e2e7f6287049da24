//! `pgvalet store copy`.

use std::io::Write;

use super::{Failure, Place};
use crate::cli::words;
use crate::vault::{self, CopyError, KeySource, Location};

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The store to read: a file, or postgres://…; else that of the configuration
    #[arg(long, value_name = "STORE")]
    from: Option<String>,
    /// The store to write, which has to be empty; else that of the configuration
    #[arg(long, value_name = "STORE", required_unless_present = "from")]
    to: Option<String>,
    /// The key of the store that is read: file:PATH, env:NAME; else the configuration's
    #[arg(long, value_name = "SOURCE")]
    from_key: Option<String>,
    /// The key of the store that is written; else the configuration's
    #[arg(long, value_name = "SOURCE")]
    to_key: Option<String>,
}

pub fn run(args: &Args, place: &Place<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    let from = read(
        "from",
        args.from.as_deref(),
        args.from_key.as_deref(),
        place,
    )?;
    let to = read("to", args.to.as_deref(), args.to_key.as_deref(), place)?;
    let moved = vault::copy(&from, &to).map_err(|e| match e {
        CopyError::Same(_) => Failure::Usage(e.to_string()),
        e => Failure::Failed(e.to_string()),
    })?;
    writeln!(
        out,
        "{}: {}, {}, {}, all as they are in {}; they open with the {}",
        to.location,
        words::count(moved.secrets, "secret"),
        words::count(moved.versions, "version"),
        words::count(moved.principals, "principal"),
        from.location,
        to.key
    )?;
    writeln!(
        out,
        "What is written to {} from now on is not in {}.",
        from.location, to.location
    )?;
    Ok(())
}

fn read(
    option: &str,
    store: Option<&str>,
    key: Option<&str>,
    place: &Place<'_>,
) -> Result<vault::Place, Failure> {
    let location = store.map(|text| Location::parse(text, |path| path.into()));
    let location = location
        .transpose()
        .map_err(|e| Failure::Usage(format!("--{option}: {e}")))?;
    let key = key.map(|text| KeySource::parse(text, std::path::Path::new("data/store.key")));
    let key = key
        .transpose()
        .map_err(|e| Failure::Usage(format!("--{option}-key {e}")))?;
    Ok(vault::Place {
        location: location.unwrap_or_else(|| place.path.clone()),
        key: key.unwrap_or_else(|| place.key.clone()),
    })
}
