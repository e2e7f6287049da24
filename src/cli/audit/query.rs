//! `pgvalet audit query`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde_json::Value;

use super::{Failure, open, show};
use crate::audit::{Event, Filter, Lines, body, table_head};
use crate::base::{duration, suggestion};

#[derive(clap::Args)]
pub(in crate::cli) struct Query {
    /// Files to read, which may be compressed [default: all of the configured log]
    pub(super) files: Vec<PathBuf>,
    /// Only records of this [[client]]
    #[arg(long)]
    client: Option<String>,
    /// Only records with this secret, by name or ARN
    #[arg(long)]
    secret: Option<String>,
    /// Only records with this version of a secret, or with versions that begin so
    #[arg(long)]
    version: Option<String>,
    /// Only records of this database
    #[arg(long)]
    database: Option<String>,
    /// Only records of this event, such as session.start or credential.use
    #[arg(long, value_parser = event)]
    event: Option<String>,
    /// Only records from this time on: 2026-01-31, 2026-01-31T12:00:00Z, or 30m for the last half hour
    #[arg(long, value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Only records before this time, written likewise
    #[arg(long, value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// Print the lines as they were written
    #[arg(long)]
    json: bool,
}

/// Searches `files`, and beside the configured log those of commands too.
pub(super) fn run(
    q: &Query,
    files: Vec<PathBuf>,
    log: Option<&Path>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let beside = log.map(beside).unwrap_or_default();
    // Before a proxy has run there are logs of commands only.
    if let Some(log) = log
        && files.is_empty()
        && beside.is_empty()
    {
        open(log)?;
    }
    let filter = Filter {
        client: q.client.clone(),
        secret: q.secret.clone(),
        version: q.version.clone(),
        database: q.database.clone(),
        event: q.event.clone(),
        since: q.since,
        until: q.until,
    };
    if !q.json {
        writeln!(out, "{}", table_head())?;
    }
    let (commands, mut unread) = commands(&beside, &filter);
    let mut commands = commands.into_iter().peekable();
    for path in &files {
        unread += search(path, &filter, |found| {
            while let Some(earlier) = commands.next_if(|c| time(c) < time(&found)) {
                show(&earlier.0, &earlier.1, q.json, out)?;
            }
            show(&found.0, &found.1, q.json, out)
        })?;
    }
    for (line, record) in commands {
        show(&line, &record, q.json, out)?;
    }
    if unread > 0 {
        tracing::warn!(
            lines = unread,
            "skipped lines that are no records; pgvalet audit verify says where they are"
        );
    }
    Ok(())
}

/// What commands have recorded, in the order of time, and how many lines are no records. These
/// are few: they take their places among the records of the proxy.
fn commands(logs: &[PathBuf], filter: &Filter) -> (Vec<Found>, u64) {
    let (mut commands, mut unread) = (Vec::new(), 0);
    for path in logs {
        let searched = search(path, filter, |found| {
            commands.push(found);
            Ok(())
        });
        match searched {
            Ok(lines) => unread += lines,
            // It may be that of another user: no reason to show nothing.
            Err(error) => tracing::warn!("skipped: {error}"),
        }
    }
    commands.sort_by_key(time);
    (commands, unread)
}

fn time((_, record): &Found) -> String {
    record["time"].as_str().unwrap_or_default().to_owned()
}

/// The logs of commands beside the proxy's (see `cli::record`).
fn beside(log: &Path) -> Vec<PathBuf> {
    let stem = log.file_stem().unwrap_or_default().to_string_lossy();
    let is_one = |name: &str| {
        let rest = name
            .strip_prefix(&*stem)
            .and_then(|n| n.strip_suffix(".jsonl"));
        let kind = rest.and_then(|r| r.rsplit_once('-')).map(|(kind, _)| kind);
        matches!(kind, Some(".cli" | ".rotate"))
    };
    let directory = match log.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|e| is_one(&e.file_name().to_string_lossy()))
        .map(|e| e.path())
        .collect();
    found.sort();
    found
}

/// The name of an event. What there is, is known to the type of records alone, which names
/// it in the error that it gives.
fn event(text: &str) -> Result<String, String> {
    let read: Result<Event, serde::de::value::Error> = Event::deserialize(text.into_deserializer());
    let Err(error) = read else {
        return Ok(text.to_owned());
    };
    let error = error.to_string();
    let known = error.split('`').skip(1).step_by(2).skip(1);
    Err(format!("there is no such event{}", suggestion(text, known)))
}

/// A point in time as people write it.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    duration::parse(text)
        .ok()
        .and_then(|ago| chrono::TimeDelta::from_std(ago).ok())
        .and_then(|ago| Utc::now().checked_sub_signed(ago))
        .ok_or_else(|| "write 2026-01-31, 2026-01-31T12:00:00Z, or 30m for half an hour ago".into())
}

/// A record that matches, and the line that it was written in.
type Found = (Vec<u8>, Value);

/// Calls `with` for each record that matches, and counts the lines that are no records.
fn search(
    path: &Path,
    filter: &Filter,
    mut with: impl FnMut(Found) -> io::Result<()>,
) -> Result<u64, Failure> {
    let mut unread = 0;
    let mut lines = Lines::open(path)
        .map_err(|e| Failure::Failed(format!("the audit log cannot be read: {e}")))?;
    let mut line = Vec::new();
    while lines.next(&mut line)? {
        let line = body(&line);
        match serde_json::from_slice::<Value>(line) {
            Ok(record) if filter.matches(&record) => with((line.to_vec(), record))?,
            Ok(_) => {}
            Err(_) => unread += 1,
        }
    }
    Ok(unread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_there_is_not_is_an_error_with_the_nearest() {
        assert_eq!(event("session.start"), Ok("session.start".to_owned()));
        let said = event("sesion.start").expect_err("no such event");
        assert!(said.contains("did you mean \"session.start\""), "{said}");
        let said = event("x").expect_err("no such event");
        assert!(said.contains("credential.use"), "{said}");
    }
}
