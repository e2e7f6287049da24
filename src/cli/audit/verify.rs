//! `pgvalet audit verify` and `pgvalet audit prove`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Failure;
use super::files::beside;
use crate::audit::{Against, PublicKey, Report, Source, prove, verify};
use crate::cli::{table, words};

#[derive(clap::Args)]
pub(in crate::cli) struct Verify {
    /// Files of one log, in any order [default: all of the configured log]
    pub(super) files: Vec<PathBuf>,
    /// The public key of the log, or a file that holds it [default: the one beside the log]
    #[arg(long, value_name = "PUB")]
    key: Option<String>,
    /// A checkpoint of the log that was kept elsewhere
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Accept that records are missing before the first of these files
    #[arg(long)]
    partial: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Checks the configured log, and those that commands have written beside it.
pub(super) fn run_all(v: &Verify, log: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let others = beside(log);
    // Before a proxy has run there are logs of commands only.
    let own = match log.exists() || others.is_empty() || v.key.is_some() || v.checkpoint.is_some() {
        true => run(v, &Source::Log(log.to_owned()), out),
        false => Ok(()),
    };
    let mut broken = matches!(own, Err(Failure::Shown));
    if !broken {
        own?;
    }
    for other in others {
        if !v.json {
            writeln!(out, "\n{}:", other.display())?;
        }
        let report = verify(&Source::Log(other), &Against::default());
        let report = report.map_err(|e| Failure::Failed(e.to_string()))?;
        match report_on(&report, v.json, out) {
            Err(Failure::Shown) => broken = true,
            done => done?,
        }
    }
    if broken { Err(Failure::Shown) } else { Ok(()) }
}

pub(super) fn run(v: &Verify, source: &Source, out: &mut dyn Write) -> Result<(), Failure> {
    let checkpoint = v.checkpoint.as_deref().map(|path| {
        let note = read(path)?;
        Ok::<_, Failure>((path.display().to_string(), note))
    });
    let against = Against {
        key: v.key.as_deref().map(key).transpose()?,
        checkpoint: checkpoint.transpose()?,
        partial: v.partial,
    };
    let report = verify(source, &against).map_err(|e| Failure::Failed(e.to_string()))?;
    report_on(&report, v.json, out)
}

fn key(text: &str) -> Result<PublicKey, Failure> {
    let text = match PublicKey::parse(text) {
        Some(key) => return Ok(key),
        None => read(Path::new(text))?,
    };
    PublicKey::parse(&text)
        .ok_or_else(|| Failure::Usage("--key: this is no public key of a log".to_owned()))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|e| Failure::Failed(format!("{} cannot be read: {e}", path.display())))
}

fn report_on(report: &Report, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    if json {
        serde_json::to_writer(&mut *out, report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        for note in &report.notes {
            table::paragraph(out, "note: ", note)?;
        }
        match &report.broken {
            None => whole(report, out)?,
            Some(broken) => table::paragraph(out, "BROKEN ", &broken.to_string())?,
        }
    }
    match report.broken {
        None => Ok(()),
        Some(_) => Err(Failure::Shown),
    }
}

fn whole(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let (Some(first), Some(last)) = (&report.first, &report.last) else {
        return writeln!(out, "0 records are whole");
    };
    let are = if report.records == 1 { "is" } else { "are" };
    writeln!(
        out,
        "{} {are} whole: {} to {}, {} to {}",
        words::count(report.records, "record"),
        first.seq,
        last.seq,
        first.time,
        last.time
    )?;
    match report.signed {
        0 => writeln!(out, "nothing of this is signed yet")?,
        signed if signed < last.seq => {
            writeln!(
                out,
                "signed: the records up to {signed}; the others will be with the next checkpoint"
            )?;
        }
        _ => writeln!(out, "all of them are signed")?,
    }
    if let Some(key) = &report.key {
        writeln!(out, "public key: {key}")?;
        if !report.key_was_given {
            table::paragraph(
                out,
                "",
                "That key was found with the log. Whoever can write there can replace both: keep the key elsewhere, and name it with --key.",
            )?;
        }
    }
    Ok(())
}

#[derive(clap::Args)]
pub(in crate::cli) struct Prove {
    /// The number of the record
    seq: u64,
    /// The log [default: the configured one]
    pub(super) log: Option<PathBuf>,
}

pub(super) fn run_prove(p: &Prove, log: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let proof = prove(log, p.seq)?;
    Ok(out.write_all(proof.as_bytes())?)
}
