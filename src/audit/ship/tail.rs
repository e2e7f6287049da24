//! Follows the files of a log from a record on, whatever becomes of the files.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::audit::files::{self, Segment, body};
use crate::audit::line::{Link, Plain};

/// A record on its way to a sink.
#[derive(Debug, Clone)]
pub struct Taken {
    pub seq: u64,
    /// Its line, without the line end.
    pub line: Vec<u8>,
    pub is_checkpoint: bool,
}

pub struct Tail {
    log: PathBuf,
    /// The number of the record that is due.
    next: u64,
    open: Option<Open>,
    /// The number of the first record of the file that was read to its end last.
    read: Option<u64>,
    /// Since when the records that are due are missing.
    missing: Option<Instant>,
}

struct Open {
    /// The number of its first record.
    first: u64,
    reader: BufReader<Box<dyn Read + Send>>,
    /// Of the file that is written now: which it is.
    inode: Option<(u64, u64)>,
    /// How many bytes of it were read.
    length: u64,
    partial: Vec<u8>,
}

impl Tail {
    /// Follows the log from the record after `seq` on.
    pub fn after(log: &Path, seq: u64) -> Self {
        Self {
            log: log.to_owned(),
            next: seq + 1,
            open: None,
            read: None,
            missing: None,
        }
    }

    /// The next record; `None`: there is none at the moment.
    pub fn next(&mut self) -> io::Result<Option<Taken>> {
        loop {
            if self.open.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let Some(open) = &mut self.open else {
                return Ok(None);
            };
            // Looked up before the rest is read: whoever writes to a new file writes no more to
            // the old one.
            let over = open.is_over(&self.log);
            while let Some(line) = open.line()? {
                if let Some(taken) = take(&mut self.next, &line) {
                    return Ok(Some(taken));
                }
            }
            if !over {
                return Ok(None);
            }
            self.read = Some(open.first);
            self.open = None;
        }
    }

    /// Opens the file that has the record that is due, or the first one after it. `false`: there
    /// is none yet.
    fn open_next(&mut self) -> io::Result<bool> {
        // Mostly it is the one that is written now.
        let segments = match Segment::of(&self.log) {
            Ok(Some(segment)) if segment.first <= self.next => vec![segment],
            _ => files::list(&self.log)?,
        };
        let at = segments.iter().rposition(|s| s.first <= self.next);
        let Some(segment) = segments.get(at.unwrap_or(0)) else {
            return Ok(false);
        };
        // The next file has no record yet.
        if self.read == Some(segment.first) || !self.may_begin_with(segment.first) {
            return Ok(false);
        }
        self.open = Open::of(segment, segment.path == self.log)?;
        Ok(self.open.is_some())
    }
}

/// How long a file with records that are due may be out of sight, while it is renamed.
const MOVING: Duration = Duration::from_secs(5);

impl Tail {
    /// Whether to go on with a file that begins so: if the records before it are missing, only
    /// when they have been missing for a while.
    fn may_begin_with(&mut self, first: u64) -> bool {
        if first <= self.next {
            self.missing = None;
            return true;
        }
        let since = *self.missing.get_or_insert_with(Instant::now);
        if since.elapsed() < MOVING {
            return false;
        }
        tracing::warn!(log = %self.log.display(), from = self.next, to = first - 1, "an audit sink goes on behind records that are missing");
        self.missing = None;
        true
    }
}

/// A line as the record that is due. What stands before that was taken already, or is torn;
/// where records are missing, it goes on behind them.
fn take(next: &mut u64, line: &[u8]) -> Option<Taken> {
    let line = body(line);
    let (seq, is_checkpoint) = match Plain::read(line) {
        Some(plain) => (plain.seq, false),
        None => {
            let link = Link::read(line)?;
            (link.seq, link.event == "checkpoint")
        }
    };
    if seq < *next {
        return None;
    }
    *next = seq + 1;
    Some(Taken {
        seq,
        line: line.to_vec(),
        is_checkpoint,
    })
}

impl Open {
    /// Opens a file that was found. `None`: the log has gone on in a new file since it was found,
    /// and the one that was meant has another name by now.
    fn of(segment: &Segment, is_log: bool) -> io::Result<Option<Self>> {
        let (reader, inode): (Box<dyn Read + Send>, _) = if is_log {
            let file = File::open(&segment.path)?;
            let data = file.metadata()?;
            // Asked after the file was opened: what begins so before and after is what was opened.
            let now = Segment::of(&segment.path)?;
            if now.is_none_or(|now| now.first != segment.first) {
                return Ok(None);
            }
            (Box::new(file), Some((data.dev(), data.ino())))
        } else {
            (files::reader(&segment.path)?, None)
        };
        Ok(Some(Self {
            first: segment.first,
            reader: BufReader::with_capacity(1 << 16, reader),
            inode,
            length: 0,
            partial: Vec::new(),
        }))
    }

    /// Whether nothing more is written to the file.
    fn is_over(&self, log: &Path) -> bool {
        let Some(inode) = self.inode else { return true };
        fs::metadata(log).is_ok_and(|now| {
            // It was renamed, or cut.
            (now.dev(), now.ino()) != inode || now.len() < self.length
        })
    }

    /// The next whole line.
    fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.length += self.reader.read_until(b'\n', &mut self.partial)? as u64;
        match self.partial.ends_with(b"\n") {
            true => Ok(Some(std::mem::take(&mut self.partial))),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sink once lost every record of a file that was closed between the look at its beginning
    /// and the opening.
    #[test]
    fn a_log_that_goes_on_in_a_new_file_is_not_taken_for_the_old_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = directory.path().join("audit.jsonl");
        let line = |seq: u64| {
            let link = "00".repeat(4);
            format!(
                "{{\"v\":2,\"seq\":{seq},\"time\":\"2026-01-01T00:00:00.000000Z\",\"event\":\"log.gap\",\"prev\":\"{link}\"}}\n"
            )
        };
        fs::write(&log, line(50)).expect("written");
        let found = Segment::of(&log).expect("read").expect("a record");
        assert_eq!(found.first, 50);
        assert!(Open::of(&found, true).expect("read").is_some());
        fs::rename(&log, files::segment(&log, 50)).expect("renamed");
        fs::write(&log, "").expect("written");
        assert!(Open::of(&found, true).expect("read").is_none());
        fs::write(&log, line(90)).expect("written");
        assert!(Open::of(&found, true).expect("read").is_none());
    }
}
