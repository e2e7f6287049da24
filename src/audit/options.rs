//! `[audit]`: where records go, and what happens when they cannot.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ship::SinkOptions;

/// The options of `[audit]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub sink: AuditSink,
    pub on_failure: OnAuditFailure,
    /// How often the log is signed.
    pub checkpoint: Duration,
    /// How often it says what sessions have done that go on.
    pub summary: Duration,
    /// Whether each lease has a record.
    pub leases: bool,
    pub segments: Segments,
    /// Other places that get the records.
    pub sinks: Vec<SinkOptions>,
}

/// When a file of the log is closed, and how long it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments {
    /// A file that has so many bytes is closed.
    pub size: u64,
    /// A file that is so old is closed.
    pub age: Duration,
    /// Closed files are removed when their last record is so old; `None`: never.
    pub keep: Option<Duration>,
}

impl Default for Segments {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            size: 256 << 20,
            age: DAY,
            keep: Some(400 * DAY),
        }
    }
}

impl Options {
    /// A log as it is where nothing else is configured.
    pub fn of(sink: AuditSink, on_failure: OnAuditFailure) -> Self {
        Self {
            sink,
            on_failure,
            checkpoint: Duration::from_secs(10),
            summary: Duration::from_secs(900),
            leases: false,
            segments: Segments::default(),
            sinks: Vec::new(),
        }
    }
}

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditSink {
    File(PathBuf),
    Stdout,
}

impl AuditSink {
    /// Reads what `[audit] path` says: `stdout`, or a path.
    pub fn parse(text: &str) -> Self {
        match text {
            "stdout" => Self::Stdout,
            path => Self::File(path.into()),
        }
    }

    /// The path of the file; `None` for standard output.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdout => None,
        }
    }
}

/// The sink in words, for people.
impl fmt::Display for AuditSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdout => f.write_str("standard output"),
        }
    }
}

/// What becomes of a session, or a call of the store, whose record cannot be
/// written. [`Audit::admit`](super::Audit::admit) decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnAuditFailure {
    /// It is refused.
    Deny,
    /// It goes on without a record.
    Continue,
}
