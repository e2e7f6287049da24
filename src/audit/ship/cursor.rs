//! How far a sink is: the number of the last record that it has taken, in a file beside the log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::audit::files::{cursor, replace};

pub struct Cursor(PathBuf);

impl Cursor {
    pub fn of(log: &Path, sink: &str) -> Self {
        Self(cursor(log, sink))
    }

    /// The number of the last record that was taken; 0 where there is none.
    pub fn read(&self) -> io::Result<u64> {
        match fs::read_to_string(&self.0) {
            Ok(text) => Ok(text.trim().parse().unwrap_or(0)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(e) => Err(e),
        }
    }

    pub fn write(&self, seq: u64) -> io::Result<()> {
        replace(&self.0, format!("{seq}\n").as_bytes())
    }
}
