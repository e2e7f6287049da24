//! What the records of a log say, put together.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::fact::Fact;
use super::rotations::{Rotated, Rotations};
use super::sessions::{Sessions, Stay};
use super::usage::{Usage, VersionUse};
use crate::audit::files::{self, body};
use crate::audit::line::time;
use crate::audit::scan::{Ended, scan};

/// Records may be missing, or are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    pub time: String,
    pub why: String,
}

/// How clients of a name were recognised, which is how they come without a password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Identified {
    pub sessions: u64,
    /// How often by each method.
    pub methods: BTreeMap<String, u64>,
    pub last: String,
}

/// What a log says.
#[derive(Debug, Default)]
pub struct History {
    pub records: u64,
    /// The times of the first and of the last record.
    pub first: String,
    pub last: String,
    pub versions: Vec<VersionUse>,
    pub rotations: Vec<Rotated>,
    pub clients: BTreeMap<String, Identified>,
    /// Denials by their reason.
    pub denials: BTreeMap<String, u64>,
    pub gaps: Vec<Gap>,
}

/// Reads the files of a log, and `beside` those of commands. `since`: records before are left
/// out, but for when versions were adopted, and who uses them still. `with` is called for each
/// use of a version by a session.
///
/// # Errors
/// A file of the log cannot be read.
pub fn history(
    log: &[PathBuf],
    beside: &[PathBuf],
    since: Option<DateTime<Utc>>,
    mut with: impl FnMut(&Stay),
) -> io::Result<History> {
    let since = since.map(|t| t.to_rfc3339_opts(SecondsFormat::Micros, true));
    let mut reading = Reading::new(since.unwrap_or_default());
    read(log, |records, first, last, facts| {
        reading.count(records, first, last);
        facts
            .iter()
            .for_each(|fact| reading.take(fact, true, &mut with));
    })?;
    for command in beside {
        let read = read(std::slice::from_ref(command), |_, _, _, facts| {
            facts
                .iter()
                .for_each(|fact| reading.take(fact, false, &mut with));
        });
        if let Err(error) = read {
            // It may be that of another user: no reason to answer nothing.
            tracing::warn!("skipped: {error}");
        }
    }
    Ok(reading.finish(&mut with))
}

fn read(files: &[PathBuf], mut with: impl FnMut(u64, String, String, Vec<Fact>)) -> io::Result<()> {
    let named = |n: usize, e: &io::Error| {
        let path: &PathBuf = &files[n];
        io::Error::new(e.kind(), format!("{}: {e}", path.display()))
    };
    let scanned = scan(
        files.len(),
        |n| files::reader(&files[n]).map_err(|e| named(n, &e)),
        |block| {
            let lines = || block.lines().map(|line| body(&block.bytes()[line]));
            let facts: Vec<Fact> = lines().filter_map(Fact::read).collect();
            let times = lines().filter_map(time);
            let (mut first, mut last, mut records) = (None, None, 0_u64);
            for time in times {
                first = first.or(Some(time));
                last = Some(time);
                records += 1;
            }
            let text = |time: Option<&[u8]>| {
                String::from_utf8_lossy(time.unwrap_or_default()).into_owned()
            };
            (facts, records, text(first), text(last))
        },
        |_, (facts, records, first, last)| {
            with(records, first, last, facts);
            true
        },
    );
    match scanned {
        Err(Ended::Io { error, .. }) => Err(error),
        Ok(()) | Err(Ended::Enough) => Ok(()),
    }
}

struct Reading {
    since: String,
    history: History,
    sessions: Sessions,
    usage: Usage,
    rotations: Rotations,
}

impl Reading {
    fn new(since: String) -> Self {
        Self {
            since,
            history: History::default(),
            sessions: Sessions::default(),
            usage: Usage::default(),
            rotations: Rotations::default(),
        }
    }

    fn count(&mut self, records: u64, first: String, last: String) {
        let history = &mut self.history;
        history.records += records;
        if records > 0 {
            if history.first.is_empty() || first < history.first {
                history.first = first;
            }
            if last > history.last {
                history.last = last;
            }
        }
    }

    /// `proxy`: the record is one of a proxy, which has sessions.
    fn take(&mut self, fact: &Fact, proxy: bool, with: &mut impl FnMut(&Stay)) {
        if proxy {
            for stay in self.sessions.take(fact) {
                self.stay(&stay, with);
            }
        }
        let wanted = fact.time >= self.since;
        if wanted || fact.event == "secret.adopt" {
            self.usage.take(fact);
        }
        if !wanted {
            return;
        }
        self.rotations.take(fact);
        let history = &mut self.history;
        match fact.event.as_str() {
            "session.start" => {
                let client = fact.client.clone().unwrap_or_default();
                let seen = history.clients.entry(client).or_default();
                seen.sessions += 1;
                let method = fact.identity.as_ref().map(|i| i.method.clone());
                *seen.methods.entry(method.unwrap_or_default()).or_default() += 1;
                seen.last.clone_from(&fact.time);
            }
            "session.deny" => {
                let reason = fact.reason.clone().unwrap_or_default();
                *history.denials.entry(reason).or_default() += fact.count.unwrap_or(1);
            }
            "gap" => history.gaps.push(Gap {
                time: fact.time.clone(),
                why: fact.reason.clone().unwrap_or_default(),
            }),
            _ => {}
        }
        if fact.lost > 0 {
            history.gaps.push(Gap {
                time: fact.time.clone(),
                why: format!(
                    "{} records before this moment could not be written",
                    fact.lost
                ),
            });
        }
    }

    fn stay(&mut self, stay: &Stay, with: &mut impl FnMut(&Stay)) {
        if stay.last >= self.since {
            self.usage.stay(stay);
            with(stay);
        }
    }

    fn finish(mut self, with: &mut impl FnMut(&Stay)) -> History {
        for (stay, newest) in std::mem::take(&mut self.sessions).rest() {
            self.usage.stay(&stay);
            with(&stay);
            if newest {
                self.usage.hold(&stay);
            }
        }
        History {
            versions: self.usage.finish(),
            rotations: self.rotations.finish(),
            ..self.history
        }
    }
}
