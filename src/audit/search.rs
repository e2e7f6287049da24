//! Searches the files of a log, with memory that does not grow with them.
//!
//! What a wanted record must contain is looked for in its bytes first, so that few of the others
//! are read as JSON.

use std::io;
use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat, Utc};
use memchr::memmem::Finder;
use serde_json::Value;

use super::Filter;
use super::files::{self, body};
use super::line::{event, time};
use super::scan::{Block, Ended, scan};

/// A record that was found.
pub struct Found {
    /// Its line, without the line end.
    pub line: Vec<u8>,
    /// The record, where it had to be read, or was wanted.
    pub record: Option<Value>,
}

impl Found {
    /// When it was written, as it stands in the line.
    pub fn time(&self) -> &[u8] {
        time(&self.line).unwrap_or_default()
    }
}

/// Calls `with` for each record of the files that `filter` wants, in the order of the files,
/// until it fails. `read`: whether the records are wanted, and not their lines alone. Returns how
/// many lines are no records.
///
/// # Errors
/// A file cannot be read, or `with` has failed.
pub fn search(
    files: &[PathBuf],
    filter: &Filter,
    read: bool,
    mut with: impl FnMut(Found) -> io::Result<()>,
) -> io::Result<u64> {
    let sieve = Sieve::new(filter, read);
    let (mut unread, mut failed) = (0, Ok(()));
    let named = |n: usize, e: &io::Error| {
        let path: &PathBuf = &files[n];
        io::Error::new(e.kind(), format!("{}: {e}", path.display()))
    };
    let scanned = scan(
        files.len(),
        |n| files::reader(&files[n]).map_err(|e| named(n, &e)),
        |block| sieve.sift(block),
        |_, (found, not_read)| {
            unread += not_read;
            failed = found.into_iter().try_for_each(&mut with);
            failed.is_ok()
        },
    );
    match scanned {
        Err(Ended::Io { error, .. }) => Err(error),
        Ok(()) | Err(Ended::Enough) => failed.map(|()| unread),
    }
}

/// A filter, ready to look at lines.
struct Sieve<'a> {
    filter: &'a Filter,
    /// Texts that stand in the line of every wanted record.
    needles: Vec<Finder<'static>>,
    since: Option<Vec<u8>>,
    until: Option<Vec<u8>>,
    read: bool,
}

impl<'a> Sieve<'a> {
    fn new(filter: &'a Filter, read: bool) -> Self {
        let bytes = |time: DateTime<Utc>| {
            let text = time.to_rfc3339_opts(SecondsFormat::Micros, true);
            text.into_bytes()
        };
        let needles = filter.needles();
        Self {
            // Nothing but the time and the kind of record can be told without reading it.
            read: read || !needles.is_empty(),
            needles: needles
                .iter()
                .map(|n| Finder::new(n).into_owned())
                .collect(),
            since: filter.since.map(bytes),
            until: filter.until.map(bytes),
            filter,
        }
    }

    /// The wanted records of a block, and how many lines are no records.
    fn sift(&self, block: &Block) -> (Vec<Found>, u64) {
        let (mut found, mut unread) = (Vec::new(), 0);
        for range in block.lines() {
            let line = body(&block.bytes()[range]);
            if !(line.starts_with(b"{") && line.ends_with(b"}")) {
                unread += 1;
                continue;
            }
            if !self.may_be(line) {
                continue;
            }
            // A line of another format says elsewhere when it was written; whose call of the
            // store it is stands inside of the record.
            let call = || event(line).is_some_and(|event| event.starts_with(b"store.call\""));
            if !self.read && time(line).is_some() && !(self.filter.without_looks && call()) {
                found.push(Found {
                    line: line.to_vec(),
                    record: None,
                });
                continue;
            }
            match serde_json::from_slice::<Value>(line) {
                Ok(record) if self.filter.matches(&record) => found.push(Found {
                    line: line.to_vec(),
                    record: Some(record),
                }),
                Ok(_) => {}
                Err(_) => unread += 1,
            }
        }
        (found, unread)
    }

    fn may_be(&self, line: &[u8]) -> bool {
        if !self.needles.iter().all(|n| n.find(line).is_some()) {
            return false;
        }
        if let Some(time) = time(line)
            && (self.since.as_deref().is_some_and(|since| time < since)
                || self.until.as_deref().is_some_and(|until| time >= until))
        {
            return false;
        }
        let own = || event(line).is_some_and(|event| event.starts_with(b"checkpoint\""));
        self.filter.event.is_some() || !own()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::line::{Chain, Notes, append};
    use crate::audit::{ClientRef, Record};

    fn log(directory: &std::path::Path) -> PathBuf {
        let path = directory.join("audit.jsonl");
        let (mut bytes, mut chain) = (Vec::new(), Chain::default());
        for n in 0..5_000_u32 {
            let client = ClientRef {
                source: format!("10.0.0.1:{n}").into(),
                rule: Some((format!("app-{}\"", n % 50).into(), 1)),
                ..ClientRef::default()
            };
            let record = match n % 100 {
                99 => Record::gap("app-1"),
                _ => Record::session_start(n.to_string().into(), client),
            };
            let time = DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(n.into());
            append(
                &mut bytes,
                &mut chain,
                "h:1",
                time,
                Notes::default(),
                &record,
            )
            .expect("serialises");
        }
        bytes.extend_from_slice(b"no record\n");
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// Whatever is wanted, the sieve finds what reading every record finds.
    #[test]
    fn what_is_found_is_what_every_record_says() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = log(directory.path());
        let text = std::fs::read_to_string(&path).expect("read");
        let records: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let at = |s: i64| DateTime::from_timestamp(s, 0);
        let name = |text: &str| Some(text.to_owned());
        for filter in [
            Filter::default(),
            Filter {
                client: name("app-7\""),
                ..Filter::default()
            },
            Filter {
                client: name("app-1"),
                ..Filter::default()
            },
            Filter {
                event: name("gap"),
                ..Filter::default()
            },
            Filter {
                event: name("session.start"),
                since: at(100),
                ..Filter::default()
            },
            Filter {
                since: at(77),
                until: at(4_000),
                ..Filter::default()
            },
            Filter {
                client: name("app-9\""),
                until: at(50),
                ..Filter::default()
            },
        ] {
            let expected: Vec<&Value> = records.iter().filter(|r| filter.matches(r)).collect();
            for read in [false, true] {
                let mut found = Vec::new();
                let unread = search(std::slice::from_ref(&path), &filter, read, |f| {
                    found.push(serde_json::from_slice::<Value>(&f.line)?);
                    assert!(f.record.is_some() || !read);
                    Ok(())
                });
                assert_eq!(unread.expect("read"), 1, "{filter:?}");
                assert!(found.iter().eq(expected.iter().copied()), "{filter:?}");
            }
        }
    }
}
