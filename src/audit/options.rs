//! `[audit]`: where records go, and what happens when they cannot.

use std::fmt;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    pub sink: AuditSink,
    pub on_failure: OnAuditFailure,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditSink {
    File(PathBuf),
    Stdout,
}

impl AuditSink {
    /// As it is written for `path`.
    pub fn parse(text: &str) -> Self {
        match text {
            "stdout" => Self::Stdout,
            path => Self::File(path.into()),
        }
    }

    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Stdout => None,
        }
    }
}

/// In words, for people.
impl fmt::Display for AuditSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdout => f.write_str("standard output"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnAuditFailure {
    /// No record, no session.
    Deny,
    Continue,
}
