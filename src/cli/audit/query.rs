//! `pgvalet audit query`.

mod known;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde_json::Value;

use super::{Failure, beside, open, show};
use crate::audit::{Event, Filter, Lines, body, table_head};
use crate::base::{duration, suggestion};
pub(super) use known::Known;

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
    /// Only records of this event, such as session.start or credential.use. What the proxy
    /// asks its own store every minute is shown with store.call only
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

/// Searches `files`, and beside the configured log those of commands too. `known`: the names in
/// the configuration.
pub(super) fn run(
    q: &Query,
    files: Vec<PathBuf>,
    log: Option<&Path>,
    known: Known,
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
    let mut search = Search {
        filter: &filter,
        known,
        unread: 0,
    };
    let commands = commands(&beside, &mut search);
    let mut commands = commands.into_iter().peekable();
    let mut shown = 0_u64;
    let mut show = |(line, record): &Found, out: &mut dyn Write| {
        if shown == 0 && !q.json {
            writeln!(out, "{}", table_head())?;
        }
        shown += 1;
        show(line, record, q.json, out)
    };
    for path in &files {
        search.file(path, |found| {
            while let Some(earlier) = commands.next_if(|c| time(c) < time(&found)) {
                show(&earlier, out)?;
            }
            show(&found, out)
        })?;
    }
    for found in commands {
        show(&found, out)?;
    }
    if shown == 0 {
        search.known.check(&filter).map_err(Failure::Usage)?;
        if !q.json {
            writeln!(out, "no record matches")?;
        }
    }
    let unread = search.unread;
    if unread > 0 {
        tracing::warn!(
            lines = unread,
            "skipped lines that are no records; pgvalet audit verify says where they are"
        );
    }
    Ok(())
}

/// What commands have recorded, in the order of time. These are few: they take their places among
/// the records of the proxy.
fn commands(logs: &[PathBuf], search: &mut Search<'_>) -> Vec<Found> {
    let mut commands = Vec::new();
    for path in logs {
        let searched = search.file(path, |found| {
            commands.push(found);
            Ok(())
        });
        // It may be that of another user: no reason to show nothing.
        if let Err(error) = searched {
            tracing::warn!("skipped: {error}");
        }
    }
    commands.sort_by_key(time);
    commands
}

fn time((_, record): &Found) -> String {
    record["time"].as_str().unwrap_or_default().to_owned()
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

struct Search<'a> {
    filter: &'a Filter,
    known: Known,
    /// Lines that are no records.
    unread: u64,
}

impl Search<'_> {
    /// Calls `with` for each record of a file that matches.
    fn file(
        &mut self,
        path: &Path,
        mut with: impl FnMut(Found) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut lines = Lines::open(path)
            .map_err(|e| Failure::Failed(format!("the audit log cannot be read: {e}")))?;
        let mut line = Vec::new();
        while lines.next(&mut line)? {
            let line = body(&line);
            match serde_json::from_slice::<Value>(line) {
                Ok(record) if self.wants(&record) => with((line.to_vec(), record))?,
                Ok(record) => self.known.note(&record),
                Err(_) => self.unread += 1,
            }
        }
        Ok(())
    }

    fn wants(&self, record: &Value) -> bool {
        self.filter.matches(record) && (self.filter.event.is_some() || !is_look(record))
    }
}

/// Whether a record is of a look that the proxy took at its own store, without a value.
fn is_look(record: &Value) -> bool {
    let text = |pointer| record.pointer(pointer).and_then(Value::as_str);
    text("/event") == Some("store.call")
        && text("/identity/method") == Some("pgvalet")
        && text("/call/eventName").is_some_and(|name| {
            name.starts_with("Describe") || name.starts_with("List") || name.starts_with("Get")
        })
        && text("/call/eventName") != Some("GetSecretValue")
        && text("/call/errorCode").is_none()
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
