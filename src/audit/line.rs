//! One line of the log: a record in JSON, with its place in the tree.
//!
//! ```text
//! {"v":2,"seq":1,"time":"…","proxy":"…","event":"…",…,"prev":"1a2b3c4d"}
//! ```
//!
//! The bytes of the line without its line end are a leaf of the tree, so that `sha256sum` is
//! enough to check one. `prev` is the beginning of the hash of the record before: it tells
//! which record was changed, where the tree by itself tells only that one was.

use std::io::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use memchr::{memchr, memmem};
use serde::Deserialize;

use super::Record;
use super::checkpoint::TreeRef;
use super::tree::{Hash, Tree, leaf};
use crate::base::hex;

/// The version of the format.
pub(super) const VERSION: u32 = 2;

/// The first bytes of every record.
pub(super) const START: &[u8] = b"{\"v\":2,\"seq\":";

/// The first bytes of a record in the format before.
pub(super) const OLD_START: &[u8] = b"{\"v\":1,\"seq\":";

/// How many bytes of a hash `prev` has.
pub(super) const PREV: usize = 4;

/// Where the log stands: what the next line continues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    tree: Tree,
    /// The hash of the last record; unknown before the first.
    last: Option<Hash>,
}

impl Chain {
    pub(super) fn new(tree: Tree, last: Option<Hash>) -> Self {
        Self { tree, last }
    }

    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The number of the last record; 0 before the first.
    pub(super) fn seq(&self) -> u64 {
        self.tree.size()
    }

    pub(super) fn last(&self) -> Option<&Hash> {
        self.last.as_ref()
    }

    /// `prev` of the next record.
    pub(super) fn prev(&self) -> [u8; PREV] {
        let mut prev = [0; PREV];
        prev.copy_from_slice(&self.last.unwrap_or_default()[..PREV]);
        prev
    }

    /// Adds a record, given as its line without the line end.
    pub(super) fn push(&mut self, line: &[u8]) {
        self.push_leaf(leaf(line));
    }

    /// Adds a record of which the hash is known.
    pub(super) fn push_leaf(&mut self, hash: Hash) {
        self.tree.push(hash);
        self.last = Some(hash);
    }
}

/// What the log itself reports in a line.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Notes {
    /// How many records since the line before could not be written.
    pub(super) lost: u64,
    /// How many bytes before this line a broken-off write has left.
    pub(super) torn: u64,
}

/// Appends the line for a record to `out` and moves the chain on.
pub(super) fn append(
    out: &mut Vec<u8>,
    chain: &mut Chain,
    proxy: &str,
    time: DateTime<Utc>,
    notes: Notes,
    record: &Record,
) -> Result<(), serde_json::Error> {
    let start = out.len();
    if let Err(e) = write(out, chain, proxy, time, notes, record) {
        out.truncate(start);
        return Err(e);
    }
    chain.push(&out[start..]);
    out.push(b'\n');
    Ok(())
}

/// Appends a line without its end. The record's members stand between the log's, which are
/// written by hand: serde's flattening costs as much as all the rest.
fn write(
    out: &mut Vec<u8>,
    chain: &Chain,
    proxy: &str,
    time: DateTime<Utc>,
    notes: Notes,
    record: &Record,
) -> Result<(), serde_json::Error> {
    out.extend_from_slice(START);
    let seq = chain.seq() + 1;
    write!(out, "{seq},").map_err(serde_json::Error::io)?;
    write_body(out, proxy, time, record)?;
    for (name, number) in [("lost", notes.lost), ("torn", notes.torn)] {
        if number > 0 {
            write!(out, ",\"{name}\":{number}").map_err(serde_json::Error::io)?;
        }
    }
    write!(out, ",\"prev\":\"{}\"}}", hex::encode(&chain.prev())).map_err(serde_json::Error::io)
}

/// Appends what a line says, wherever it stands in the log.
fn write_body(
    out: &mut Vec<u8>,
    proxy: &str,
    time: DateTime<Utc>,
    record: &Record,
) -> Result<(), serde_json::Error> {
    let time = time.to_rfc3339_opts(SecondsFormat::Micros, true);
    write!(out, "\"time\":\"{time}\",\"proxy\":").map_err(serde_json::Error::io)?;
    serde_json::to_writer(&mut *out, proxy)?;
    let brace = out.len();
    serde_json::to_writer(&mut *out, record)?;
    out[brace] = b','; // a record is not empty: it has an event
    out.pop();
    Ok(())
}

/// Whether a whole line of `lines` is this record.
pub(super) fn has(lines: &[u8], proxy: &str, time: DateTime<Utc>, record: &Record) -> bool {
    let mut body = vec![b','];
    if write_body(&mut body, proxy, time, record).is_err() {
        return false;
    }
    body.push(b','); // another field follows, and no more of the last one
    let mut found = memmem::find_iter(lines, &body);
    found.any(|at| memchr(b'\n', &lines[at..]).is_some())
}

/// The members of a line that a check needs.
#[derive(Debug, Deserialize)]
pub(super) struct Link {
    pub(super) v: u32,
    pub(super) seq: u64,
    pub(super) time: String,
    pub(super) event: String,
    pub(super) prev: String,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) lost: u64,
    #[serde(default)]
    pub(super) torn: u64,
    #[serde(default)]
    pub(super) tree: Option<TreeRef>,
    #[serde(default)]
    pub(super) removed: Option<u64>,
}

impl Link {
    /// Reads a line, which is given without its line end. `None` for what is no line of a log,
    /// such as a torn one.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let link: Self = serde_json::from_slice(line).ok()?;
        let digits = |s: &str| s.len() == 2 * PREV && s.bytes().all(|b| b.is_ascii_hexdigit());
        digits(&link.prev).then_some(link)
    }
}

/// What a check needs of a record that says nothing of the log itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) seq: u64,
    pub(super) prev: [u8; PREV],
    pub(super) time: [u8; TIME],
}

/// The bytes of a time as lines have it: `2026-01-31T12:00:00.000000Z`.
pub(super) const TIME: usize = 27;

/// The events of records that say something of the log.
const OF_THE_LOG: [&[u8]; 3] = [b"checkpoint\"", b"gap\"", b"segment.remove\""];

impl Plain {
    /// Reads a line without looking at all of it. `None`: it may be one all the same, or another
    /// record; [`Link::read`] tells.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let (seq, rest) = split_number(line)?;
        let rest = rest.strip_prefix(b",\"time\":\"")?;
        let (time, rest) = rest.split_first_chunk::<TIME>()?;
        let (rest, prev) = rest
            .strip_suffix(b"\"}")?
            .split_last_chunk::<{ 2 * PREV }>()?;
        let rest = rest.strip_suffix(b",\"prev\":\"")?;
        let event = event(rest)?;
        if OF_THE_LOG.iter().any(|own| event.starts_with(own)) || reports(rest) {
            return None;
        }
        let prev = std::str::from_utf8(prev).ok().and_then(hex::decode)?;
        Some(Self {
            seq,
            prev: prev.try_into().ok()?,
            time: *time,
        })
    }
}

/// What follows `"event":"` in a line. Inside a text there is a backslash before each quote, so
/// that the first place is the right one.
pub(super) fn event(line: &[u8]) -> Option<&[u8]> {
    let name = b",\"event\":\"";
    let at = memchr::memmem::find(line, name)?;
    Some(&line[at + name.len()..])
}

/// The time of a line.
pub(super) fn time(line: &[u8]) -> Option<&[u8]> {
    let (_, rest) = split_number(line)?;
    rest.strip_prefix(b",\"time\":\"")?.get(..TIME)
}

/// Whether a line ends with what was lost or torn before it.
fn reports(line: &[u8]) -> bool {
    let digits = line.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let before = &line[..line.len() - digits];
    digits > 0 && (before.ends_with(b",\"lost\":") || before.ends_with(b",\"torn\":"))
}

/// The number of a record, and what follows it.
fn split_number(line: &[u8]) -> Option<(u64, &[u8])> {
    let rest = line.strip_prefix(START)?;
    let digits = rest.iter().position(|b| !b.is_ascii_digit())?;
    let number = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    Some((number, &rest[digits..]))
}

/// The number of a record, as far as its first bytes tell. Most of a long log need not be read
/// closer.
pub(super) fn number(line: &[u8]) -> Option<u64> {
    Some(split_number(line)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Event;

    fn lines(n: usize) -> Vec<Vec<u8>> {
        let mut chain = Chain::default();
        (0..n)
            .map(|_| {
                let mut out = Vec::new();
                let record = Record::new(Event::SessionStart);
                let notes = Notes::default();
                let time = DateTime::UNIX_EPOCH;
                append(&mut out, &mut chain, "h:1", time, notes, &record).expect("serialises");
                assert_eq!(out.pop(), Some(b'\n'));
                out
            })
            .collect()
    }

    #[test]
    fn a_line_is_what_the_contract_says() {
        let line = String::from_utf8(lines(1).remove(0)).expect("UTF-8");
        assert_eq!(
            line,
            r#"{"v":2,"seq":1,"time":"1970-01-01T00:00:00.000000Z","proxy":"h:1","event":"session.start","prev":"00000000"}"#
        );
    }

    #[test]
    fn a_line_that_says_nothing_of_the_log_is_read_at_a_glance() {
        let line = lines(1).remove(0);
        let plain = Plain::read(&line).expect("it is one");
        assert_eq!((plain.seq, plain.prev), (1, [0; 4]));
        assert_eq!(&plain.time, b"1970-01-01T00:00:00.000000Z");
        let text = String::from_utf8(line).expect("UTF-8");
        for (from, to) in [
            ("session.start", "checkpoint"),
            ("session.start", "gap"),
            ("\"prev\"", "\"torn\":12,\"prev\""),
            ("\"prev\"", "\"lost\":1,\"prev\""),
            ("00000000\"", "0000000x\""),
            ("\"v\":2", "\"v\":3"),
        ] {
            let other = text.replacen(from, to, 1);
            assert_eq!(Plain::read(other.as_bytes()), None, "{other}");
        }
        let longer = text.replacen("\"prev\"", "\"duration_ms\":7,\"prev\"", 1);
        assert!(Plain::read(longer.as_bytes()).is_some());
    }

    #[test]
    fn each_line_says_what_is_before_it() {
        let lines = lines(3);
        for (n, pair) in lines.windows(2).enumerate() {
            let link = Link::read(&pair[1]).expect("a line");
            assert_eq!(link.prev, hex::encode(&leaf(&pair[0])[..PREV]));
            assert_eq!(link.seq, n as u64 + 2);
            assert_eq!(number(&pair[1]), Some(link.seq));
        }
    }
}
