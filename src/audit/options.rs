//! `[audit]`: where records go, and what happens when they cannot.

use std::path::PathBuf;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnAuditFailure {
    /// No record, no session.
    Deny,
    Continue,
}
