//! Where a check of a log stops, and why.

use std::io;
use std::path::PathBuf;

use crate::audit::report::Broken;

pub(super) enum Fault {
    Io(io::Error),
    Broken(Broken),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A line of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Spot {
    pub(super) file: PathBuf,
    pub(super) line: u64,
}

impl Spot {
    pub(super) fn broken(&self, reason: impl Into<String>) -> Broken {
        Broken {
            file: self.file.clone(),
            line: self.line,
            reason: reason.into(),
        }
    }
}

/// Bytes that are no record, until a record reports them.
pub(super) struct Torn {
    pub(super) spot: Spot,
    pub(super) bytes: u64,
    /// Whether they end in the middle of a line.
    pub(super) unfinished: bool,
}

pub(super) const NOT_A_RECORD: &str =
    "this is no record, and no record after it says that a write was broken off here";

/// Checks that a record reports exactly the torn bytes before it.
pub(super) fn check_torn(torn: Option<Torn>, reported: u64, spot: &Spot) -> Result<(), Broken> {
    let bytes = torn.as_ref().map_or(0, |torn| torn.bytes);
    if bytes == reported {
        return Ok(());
    }
    Err(match torn {
        Some(torn) => torn.spot.broken(NOT_A_RECORD),
        None => spot.broken(format!(
            "{} bytes that this record reports before it are missing",
            reported
        )),
    })
}

pub(super) fn are(first: u64, last: u64) -> String {
    if first == last {
        format!("record {first} is")
    } else {
        format!("records {first} to {last} are")
    }
}
