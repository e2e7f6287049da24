//! Where a sink sends to.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::command::Command;
use super::file::{File, Standard};
use super::options::{Lock, SinkOptions, SyslogAddress};
use super::otlp::Otlp;
use super::s3::S3;
use super::syslog::Syslog;

/// Where a sink sends to.
#[derive(Debug, Clone, PartialEq)]
pub enum SinkKind {
    /// Appended to a file, or written to a pipe.
    File(PathBuf),
    Stdout,
    Syslog {
        address: SyslogAddress,
        /// The authorities of the server's certificate; `None`: those of the system.
        ca: Option<PathBuf>,
    },
    Otlp {
        /// Such as `https://collector:4318/v1/logs`.
        url: String,
        /// The file of a bearer token.
        token_file: Option<PathBuf>,
        ca: Option<PathBuf>,
    },
    /// The standard input of a program.
    Command(Vec<String>),
    S3 {
        bucket: String,
        prefix: String,
        region: Option<String>,
        endpoint_url: Option<String>,
        /// For how long, and how strictly, objects are locked.
        lock: Option<(Lock, Duration)>,
    },
}

/// One record, in the form in which the sink gets it.
pub struct Message {
    pub seq: u64,
    pub text: Vec<u8>,
    /// Of the record: when, what, where, and whether it tells of a failure.
    pub time: String,
    pub event: String,
    pub proxy: String,
    pub failed: bool,
}

/// Takes messages, all of them or none as far as it can tell.
pub trait Target: Send {
    /// # Errors
    /// Why they were not taken; they are sent again.
    fn send(&mut self, messages: &[Message]) -> Result<(), String>;
}

/// The target of a sink of the log `origin`. Nothing is connected yet.
///
/// # Errors
/// It can never work.
pub fn of(options: &SinkOptions, origin: &str) -> Result<Box<dyn Target>, String> {
    Ok(match &options.kind {
        SinkKind::File(path) => Box::new(File::at(path)),
        SinkKind::Stdout => Box::new(Standard::default()),
        SinkKind::Syslog { address, ca } => Box::new(Syslog::at(address, ca.as_deref())?),
        SinkKind::Otlp {
            url,
            token_file,
            ca,
        } => Box::new(Otlp::at(url, token_file.as_deref(), ca.as_deref())?),
        SinkKind::Command(words) => Box::new(Command::of(words)),
        SinkKind::S3 {
            bucket,
            prefix,
            region,
            endpoint_url,
            lock,
        } => Box::new(S3::of(
            bucket,
            format!("{prefix}{origin}/"),
            region.as_deref(),
            endpoint_url.as_deref(),
            *lock,
        )?),
    })
}

/// The messages, a line each.
pub fn lines(messages: &[Message]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(messages.iter().map(|m| m.text.len() + 1).sum());
    for message in messages {
        lines.extend_from_slice(&message.text);
        lines.push(b'\n');
    }
    lines
}

pub fn failed(what: &Path, error: &io::Error) -> String {
    format!("{}: {error}", what.display())
}
