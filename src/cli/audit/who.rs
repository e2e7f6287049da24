//! `pgvalet audit who`.

use std::io::{self, Write};
use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::Failure;
use super::files::Logs;
use super::moment::moment;
use super::report::seconds;
use crate::audit::{Stay, history, printable};
use crate::cli::table;

#[derive(clap::Args)]
pub(in crate::cli) struct Who {
    /// Files to read, which may be compressed [default: all of the configured log]
    pub(super) files: Vec<PathBuf>,
    /// The version, or its first characters
    #[arg(long)]
    version: String,
    /// The span: its beginning, and its end, which is not part of it
    #[arg(long, num_args = 2, value_names = ["FROM", "UNTIL"], value_parser = moment, required = true)]
    between: Vec<DateTime<Utc>>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    stay: Stay,
    /// Whether it is certain that the version was used in the span.
    certain: bool,
}

pub(super) fn run(w: &Who, logs: &Logs, out: &mut dyn Write) -> Result<(), Failure> {
    let [from, until] = w.between[..] else {
        return Err(Failure::Usage("--between takes two times".to_owned()));
    };
    if from >= until {
        return Err(Failure::Usage(
            "--between: the span ends before it begins".to_owned(),
        ));
    }
    let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let (from, until) = (text(from), text(until));
    let mut answers = Vec::new();
    // All of the log: a use that began before the span may reach into it.
    let found = history(&logs.log, &logs.beside, None, |stay| {
        if stay.version.starts_with(&w.version)
            && let Some(certain) = certainty(stay, &from, &until)
        {
            answers.push(Answer {
                stay: stay.clone(),
                certain,
            });
        }
    })
    .map_err(|e| Failure::Failed(format!("the audit log cannot be read: {e}")))?;
    // The user of a version stands in the record of its adoption.
    for Answer { stay, .. } in answers.iter_mut().filter(|a| a.stay.user.is_empty()) {
        let mut versions = found.versions.iter();
        let adopted = versions.find(|v| v.secret == stay.secret && v.version == stay.version);
        stay.user = adopted.map_or_else(String::new, |v| v.user.clone());
    }
    answers.sort_by(|a, b| (&a.stay.from, &a.stay.session).cmp(&(&b.stay.from, &b.stay.session)));
    let mut versions = found.versions.iter();
    if answers.is_empty() && !versions.any(|v| v.version.starts_with(&w.version)) {
        return Err(Failure::Usage(format!(
            "the log tells of no version that begins with {:?}; pgvalet audit report lists them",
            w.version
        )));
    }
    if w.json {
        serde_json::to_writer_pretty(&mut *out, &answers).map_err(io::Error::from)?;
        return Ok(writeln!(out)?);
    }
    if answers.is_empty() {
        return Ok(writeln!(out, "nobody: no session used it in that time")?);
    }
    answers.iter().try_for_each(|answer| show(answer, out))?;
    Ok(())
}

/// Whether it is certain that the version was used in the span; `None`: it was not.
fn certainty(stay: &Stay, from: &str, until: &str) -> Option<bool> {
    match stay.was_in(from, until) {
        Some(false) => None,
        Some(true) => Some(true),
        None => Some(false),
    }
}

fn show(answer: &Answer, out: &mut dyn Write) -> io::Result<()> {
    let stay = &answer.stay;
    let ends = match (stay.ended, stay.transactions) {
        (false, _) => "and has not ended",
        (true, 0) => "and has ended",
        (true, _) => "then it ended",
    };
    let doubt = match answer.certain {
        true => "",
        false => {
            "; perhaps not in that time: the log has no more than first and last uses ([audit] leases has all)"
        }
    };
    let text = format!(
        "{} from {}, session {} of {}: {} as {} from {}, last {}, {ends}{doubt}",
        printable(&stay.client),
        printable(&stay.source),
        stay.session,
        printable(&stay.proxy),
        printable(&stay.database),
        printable(&stay.user),
        seconds(&stay.from),
        seconds(&stay.last)
    );
    table::paragraph(out, "", &text)
}
