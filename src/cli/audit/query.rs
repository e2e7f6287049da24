//! `pgvalet audit query`.

mod known;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::files::beside;
use super::moment::moment;
use super::rows::Rows;
use super::{Failure, open};
use crate::audit::{Event, Filter, Found, search, table_row};
use crate::base::suggestion;
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
    mut known: Known,
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
        without_looks: q.event.is_none(),
    };
    let (commands, mut unread) = commands(&beside, &filter);
    let mut commands = commands.into_iter().peekable();
    let (mut shown, rows) = (0_u64, Rows::new());
    let mut show = |found: Found| {
        if shown == 0 && !q.json {
            rows.head(out)?;
        }
        shown += 1;
        match &found.record {
            Some(record) if !q.json => rows.row(table_row(record), out),
            _ => out
                .write_all(&found.line)
                .and_then(|()| out.write_all(b"\n")),
        }
    };
    let mut unwritten = None;
    let searched = search(&files, &filter, !q.json, |found| {
        while let Some(earlier) = commands.next_if(|c| c.time() < found.time()) {
            show(earlier).map_err(|e| kept(e, &mut unwritten))?;
        }
        show(found).map_err(|e| kept(e, &mut unwritten))
    });
    if let Some(error) = unwritten {
        return Err(error.into());
    }
    unread += searched.map_err(unreadable)?;
    commands.try_for_each(&mut show)?;
    if shown == 0 {
        // A name that no record has may be misspelt.
        let all: Vec<PathBuf> = files.into_iter().chain(beside).collect();
        let note = |found: Found| {
            found.record.iter().for_each(|record| known.note(record));
            Ok(())
        };
        search(&all, &Filter::default(), true, note).map_err(unreadable)?;
        known.check(&filter).map_err(Failure::Usage)?;
        if !q.json {
            writeln!(out, "no record matches")?;
        }
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
        let searched = search(std::slice::from_ref(path), filter, true, |found| {
            commands.push(found);
            Ok(())
        });
        match searched {
            Ok(lines) => unread += lines,
            // It may be that of another user: no reason to show nothing.
            Err(error) => tracing::warn!("skipped: {error}"),
        }
    }
    commands.sort_by(|a, b| a.time().cmp(b.time()));
    (commands, unread)
}

fn unreadable(error: io::Error) -> Failure {
    Failure::Failed(format!("the audit log cannot be read: {error}"))
}

/// Keeps an error of the output, which ends the search and is none of the log's.
fn kept(error: io::Error, unwritten: &mut Option<io::Error>) -> io::Error {
    let kind = error.kind();
    *unwritten = Some(error);
    kind.into()
}

/// The name of an event.
fn event(text: &str) -> Result<String, String> {
    match Event::named(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!(
            "there is no such event{}",
            suggestion(text, Event::names().iter().map(String::as_str))
        )),
    }
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
