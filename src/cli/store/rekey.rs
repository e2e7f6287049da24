//! `pgvalet store rekey`.

use std::io::Write;
use std::path::Path;

use super::{Failure, Place, failed, shown};
use crate::cli::words;
use crate::vault::{self, KeySource};

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the new key is, or is to be made: file:PATH, env:NAME or
    /// kms:KEY_ID; else where the old one is
    #[arg(long, value_name = "SOURCE")]
    to: Option<String>,
}

pub fn run(args: &Args, place: &Place<'_>, out: &mut dyn Write) -> Result<(), Failure> {
    place.existing()?;
    // What KMS wraps goes beside the key file that is in use, not over it.
    let wrapped = match place.key.file() {
        Some(file) => file.with_extension("kms"),
        None => Path::new("data/store.key").to_owned(),
    };
    let to = args
        .to
        .as_deref()
        .map(|text| KeySource::parse(text, &wrapped))
        .transpose()
        .map_err(|e| Failure::Usage(format!("--to {e}")))?;
    let done = vault::rekey(place.path, place.key, to.as_ref()).map_err(failed)?;
    if done.finished {
        writeln!(
            out,
            "A rekey that had been interrupted is finished; the key is in the {}",
            place.key
        )?;
        return Ok(());
    }
    let values = words::count(done.wrapped, "value");
    let are = if done.wrapped == 1 { "is" } else { "are" };
    writeln!(out, "{values} {are} under the new key.")?;
    if done.old.is_some() {
        writeln!(
            out,
            "The old key is kept in {}: backups made before now need it. \
             Remove it when there are no such backups.",
            shown(&done.old)
        )?;
    }
    if let Some(to) = to.filter(|to| to != place.key) {
        writeln!(
            out,
            "Now write into [store], and restart pgvalet where it runs:"
        )?;
        match &to {
            KeySource::File(file) => writeln!(out, "key_file = {file:?}")?,
            KeySource::Env(name) => writeln!(out, "key = {:?}", format!("env:{name}"))?,
            KeySource::Kms { key_id, file } => {
                writeln!(
                    out,
                    "key = {:?}\nkey_file = {file:?}",
                    format!("kms:{key_id}")
                )?;
            }
        }
    }
    Ok(())
}
