//! A line of the log, and the chain that makes a change to it visible.
//!
//! A line is one JSON object whose last two members are `prev` and `hash`,
//! each 64 hexadecimal digits. The canonical form of a record is its line
//! without `,"hash":"…"`, byte for byte as written, and
//!
//! ```text
//! hash = SHA-256(prev ‖ canonical)        prev as the 64 digits
//! ```
//!
//! where `prev` is the `hash` of the line before, or 64 zeros in the first line
//! of a chain. A check needs the bytes of the line alone and serialises nothing
//! again, so that `sed` and `sha256sum` are enough for it.

use std::io::Write;

use aws_lc_rs::digest;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;

use super::Record;
use crate::base::hex;

/// `prev` of the first line of a chain.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// Where the chain stands: what the next line continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    /// The number of the last line; 0 before the first.
    pub(super) seq: u64,
    pub(super) hash: String,
}

impl Chain {
    pub(super) fn new() -> Self {
        Self {
            seq: 0,
            hash: GENESIS.to_owned(),
        }
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
    if let Err(e) = canonical(out, chain, proxy, time, notes, record) {
        out.truncate(start);
        return Err(e);
    }
    let hash = hash(&chain.hash, &[&out[start..]]);
    out.pop(); // the closing brace
    for part in [",\"hash\":\"", &hash, "\"}\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    chain.seq += 1;
    chain.hash = hash;
    Ok(())
}

/// Appends a line without its hash. The record's members stand between the log's,
/// which are written by hand: serde's flattening costs as much as all the rest.
fn canonical(
    out: &mut Vec<u8>,
    chain: &Chain,
    proxy: &str,
    time: DateTime<Utc>,
    notes: Notes,
    record: &Record,
) -> Result<(), serde_json::Error> {
    let time = time.to_rfc3339_opts(SecondsFormat::Micros, true);
    let seq = chain.seq + 1;
    write!(
        out,
        "{{\"v\":{VERSION},\"seq\":{seq},\"time\":\"{time}\",\"proxy\":"
    )
    .map_err(serde_json::Error::io)?;
    serde_json::to_writer(&mut *out, proxy)?;
    let brace = out.len();
    serde_json::to_writer(&mut *out, record)?;
    out[brace] = b','; // a record is not empty: it has an event
    out.pop();
    for (name, number) in [("lost", notes.lost), ("torn", notes.torn)] {
        if number > 0 {
            write!(out, ",\"{name}\":{number}").map_err(serde_json::Error::io)?;
        }
    }
    for part in [",\"prev\":\"", &chain.hash, "\"}"] {
        out.extend_from_slice(part.as_bytes());
    }
    Ok(())
}

fn hash(prev: &str, canonical: &[&[u8]]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(prev.as_bytes());
    for part in canonical {
        context.update(part);
    }
    hex::encode(context.finish().as_ref())
}

/// The members of a line that the chain is checked by.
#[derive(Debug, Deserialize)]
pub(super) struct Link {
    pub(super) v: u32,
    pub(super) seq: u64,
    pub(super) time: String,
    pub(super) prev: String,
    pub(super) hash: String,
    #[serde(default)]
    pub(super) lost: u64,
    #[serde(default)]
    pub(super) torn: u64,
}

impl Link {
    /// Reads a line, which is given without its line end. `None` for what is no line
    /// of a log, such as a torn one.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let link: Self = serde_json::from_slice(line).ok()?;
        let digits = |s: &str| {
            s.len() == GENESIS.len() && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        (digits(&link.prev) && digits(&link.hash)).then_some(link)
    }

    /// Whether the hash is that of the line.
    pub(super) fn is_intact(&self, line: &[u8]) -> bool {
        let end = format!(",\"hash\":\"{}\"}}", self.hash);
        line.strip_suffix(end.as_bytes())
            .is_some_and(|body| hash(&self.prev, &[body, b"}"]) == self.hash)
    }

    pub(super) fn chain(&self) -> Chain {
        Chain {
            seq: self.seq,
            hash: self.hash.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Event;

    fn lines(n: usize) -> Vec<Vec<u8>> {
        let mut chain = Chain::new();
        (0..n)
            .map(|_| {
                let mut out = Vec::new();
                let record = Record::new(Event::SessionStart);
                let notes = Notes::default();
                append(
                    &mut out,
                    &mut chain,
                    "h:1",
                    DateTime::UNIX_EPOCH,
                    notes,
                    &record,
                )
                .expect("serialises");
                assert_eq!(out.pop(), Some(b'\n'));
                out
            })
            .collect()
    }

    #[test]
    fn a_line_is_what_the_contract_says() {
        let line = String::from_utf8(lines(1).remove(0)).expect("UTF-8");
        let start = format!(
            r#"{{"v":1,"seq":1,"time":"1970-01-01T00:00:00.000000Z","proxy":"h:1","event":"session.start","prev":"{GENESIS}","hash":""#
        );
        assert!(line.starts_with(&start), "{line}");
        assert!(line.ends_with("\"}"));
    }

    #[test]
    fn each_line_holds_the_hash_of_the_one_before() {
        let lines = lines(3);
        let links: Vec<Link> = lines
            .iter()
            .map(|l| Link::read(l).expect("a line"))
            .collect();
        for (line, link) in lines.iter().zip(&links) {
            assert!(link.is_intact(line));
        }
        assert_eq!(links[1].prev, links[0].hash);
        assert_eq!(links[2].prev, links[1].hash);
        assert_eq!(links[2].seq, 3);
    }

    #[test]
    fn any_changed_byte_is_seen() {
        let line = lines(1).remove(0);
        for i in 0..line.len() {
            let mut changed = line.clone();
            changed[i] ^= 1;
            let intact = Link::read(&changed).is_some_and(|link| link.is_intact(&changed));
            assert!(!intact, "byte {i}");
        }
    }
}
