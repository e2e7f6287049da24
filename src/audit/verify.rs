//! Checks that a log is as it was written.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::line::{Chain, GENESIS, Link, VERSION};

/// What a check found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Records that are as they were written, up to the first that is not.
    pub records: u64,
    pub first: Option<Place>,
    pub last: Option<Place>,
    /// Hash of the last record, to compare with one kept elsewhere: nothing else shows
    /// that the end of a log was cut off.
    pub last_hash: Option<String>,
    /// What does not prove tampering, but whoever checks a log should know.
    pub notes: Vec<String>,
    /// The first line that is not as it was written.
    pub broken: Option<Broken>,
}

/// A record of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    pub seq: u64,
    /// When it was written, in the form of RFC 3339.
    pub time: String,
}

/// A place where the chain breaks.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Broken {
    pub file: PathBuf,
    /// Counted from 1.
    pub line: u64,
    pub reason: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.reason)
    }
}

/// Checks files that hold one chain, in the order of their first records.
///
/// # Errors
/// A file cannot be read.
pub fn verify(files: &[PathBuf]) -> io::Result<Report> {
    let mut ordered = Vec::new();
    for path in files {
        ordered.push((first_time(path)?, path));
    }
    ordered.sort();
    let mut check = Check::default();
    for (_, path) in ordered {
        check.file(path)?;
        if check.report.broken.is_some() {
            break;
        }
    }
    Ok(check.report)
}

/// Time and number of a file's first record; `None`, which sorts first, without any.
fn first_time(path: &Path) -> io::Result<Option<(String, u64)>> {
    let mut lines = Lines::open(path)?;
    while let Some(line) = lines.next()? {
        if let Some(link) = Link::read(body(&line)) {
            return Ok(Some((link.time, link.seq)));
        }
    }
    Ok(None)
}

/// The lines of a file, with their line ends.
struct Lines(BufReader<File>);

impl Lines {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)
            .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        Ok(Self(BufReader::new(file)))
    }

    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        Ok((self.0.read_until(b'\n', &mut line)? > 0).then_some(line))
    }
}

fn body(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// Bytes that are no record, until a record reports them.
struct Torn {
    line: u64,
    bytes: u64,
    /// Whether they end in the middle of a line.
    unfinished: bool,
}

#[derive(Default)]
struct Check {
    report: Report,
    /// Where the chain stands after the record before, in whichever file that is.
    chain: Option<Chain>,
}

impl Check {
    fn file(&mut self, path: &Path) -> io::Result<()> {
        let mut lines = Lines::open(path)?;
        let mut number = 0;
        let mut first_in_file = true;
        let mut torn: Option<Torn> = None;
        while let Some(line) = lines.next()? {
            number += 1;
            let Some(link) = Link::read(body(&line)) else {
                let torn = torn.get_or_insert(Torn {
                    line: number,
                    bytes: 0,
                    unfinished: false,
                });
                torn.bytes += line.len() as u64;
                torn.unfinished = !line.ends_with(b"\n");
                continue;
            };
            let at = format!("{}:{number}", path.display());
            let broken = check_torn(torn.take(), &link)
                .map_err(|(line, reason)| (line.unwrap_or(number), reason))
                .and_then(|()| {
                    self.record(&link, body(&line), &at, first_in_file)
                        .map_err(|reason| (number, reason))
                });
            if let Err((line, reason)) = broken {
                self.broken(path, line, reason);
                return Ok(());
            }
            first_in_file = false;
        }
        match torn {
            Some(t) if t.unfinished => self.report.notes.push(format!(
                "{}:{}: the file ends in the middle of a record: it is being written, or the write was broken off",
                path.display(),
                t.line
            )),
            Some(t) => self.broken(path, t.line, NOT_A_RECORD.to_owned()),
            None => {}
        }
        Ok(())
    }

    fn record(&mut self, link: &Link, line: &[u8], at: &str, first: bool) -> Result<(), String> {
        if link.v != VERSION {
            return Err(format!(
                "this is a record of version {}; a newer pgvalet can check it",
                link.v
            ));
        }
        if !link.is_intact(line) {
            return Err("this record was changed: its hash is not that of its content".to_owned());
        }
        let genesis = link.seq == 1 && link.prev == GENESIS;
        match &self.chain {
            None if !genesis => self.report.notes.push(format!(
                "{at}: the log begins with record {}; those before it are in another file, or were removed",
                link.seq
            )),
            Some(_) if first && genesis => self.report.notes.push(format!(
                "{at}: a new chain begins here; nothing connects it to the records before"
            )),
            Some(chain) => follows(chain, link)?,
            None => {}
        }
        if link.lost > 0 {
            self.report.notes.push(format!(
                "{at}: {} records before this one could not be written",
                link.lost
            ));
        }
        if link.torn > 0 {
            self.report.notes.push(format!(
                "{at}: the write before this record was broken off, as the record says; {} bytes of it remain",
                link.torn
            ));
        }
        let this = Place {
            seq: link.seq,
            time: link.time.clone(),
        };
        self.report.records += 1;
        self.report.first.get_or_insert(this.clone());
        self.report.last = Some(this);
        self.report.last_hash = Some(link.hash.clone());
        self.chain = Some(link.chain());
        Ok(())
    }

    fn broken(&mut self, path: &Path, line: u64, reason: String) {
        self.report.broken = Some(Broken {
            file: path.to_owned(),
            line,
            reason,
        });
    }
}

const NOT_A_RECORD: &str =
    "this is no record, and no record after it says that a write was broken off here";

/// Checks that a record reports exactly the torn bytes before it. The error is why
/// not, and the line that is wrong if it is not the record's own.
fn check_torn(torn: Option<Torn>, link: &Link) -> Result<(), (Option<u64>, String)> {
    let bytes = torn.as_ref().map_or(0, |t| t.bytes);
    if bytes == link.torn {
        return Ok(());
    }
    Err(match torn {
        Some(torn) => (Some(torn.line), NOT_A_RECORD.to_owned()),
        None => (
            None,
            format!(
                "{} bytes that this record reports before it are missing",
                link.torn
            ),
        ),
    })
}

/// Checks that a record is the next one of the chain.
fn follows(chain: &Chain, link: &Link) -> Result<(), String> {
    let due = chain.seq + 1;
    if link.seq > due {
        let last = link.seq - 1;
        return Err(if last == due {
            format!("record {due} is missing before this one")
        } else {
            format!("records {due} to {last} are missing before this one")
        });
    }
    if link.seq < due {
        return Err(format!(
            "record {} stands after record {}: lines were moved or copied",
            link.seq, chain.seq
        ));
    }
    if link.prev != chain.hash {
        return Err(
            "this record does not follow the one before it: one of them was replaced".to_owned(),
        );
    }
    Ok(())
}
