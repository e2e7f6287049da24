//! What a check of a log found, and what it is checked against.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::checkpoint::Checkpoint;
use super::note::PublicKey;

/// Where the records are.
#[derive(Debug, Clone)]
pub enum Source {
    /// The log that is written at this path, with all its segments.
    Log(PathBuf),
    /// These files of one log, in any order.
    Files(Vec<PathBuf>),
}

/// What a log is checked against.
#[derive(Debug, Default)]
pub struct Against {
    /// The public key; without it, the one beside the log.
    pub key: Option<PublicKey>,
    /// A checkpoint that was kept elsewhere: its name for people, and the note.
    pub checkpoint: Option<(String, String)>,
    /// Whether records may be missing before the first.
    pub partial: bool,
}

/// What a check found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Records that are as they were written, up to the first that is not.
    pub records: u64,
    pub first: Option<Place>,
    pub last: Option<Place>,
    /// The public key that the signatures were checked with.
    pub key: Option<String>,
    /// Whether that key came from elsewhere, and not from the place of the log.
    pub key_was_given: bool,
    /// The last record that a checkpoint signs. Those after it will be signed with the next.
    pub signed: u64,
    /// What does not prove tampering, but whoever checks a log should know.
    pub notes: Vec<String>,
    /// The first record that is not as it was written.
    pub broken: Option<Broken>,
}

/// A record of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    pub seq: u64,
    /// When it was written, in the form of RFC 3339.
    pub time: String,
}

/// A place where the log is not what was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    pub file: PathBuf,
    /// Counted from 1; 0 for the file as a whole.
    pub line: u64,
    pub reason: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        write!(f, " {}", self.reason)
    }
}

/// A checkpoint from outside the records, which they have to lead to.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) name: String,
    pub(super) checkpoint: Checkpoint,
}
