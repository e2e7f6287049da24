//! Closes files of the log, compresses them, and removes those that are old enough.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};

use super::files::{self, COMPRESSED, beside};
use super::options::Segments;

/// How hard zstd tries. A record shrinks to a tenth even so.
const LEVEL: i32 = 3;

/// The file that is written now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    /// The number of its first record.
    pub(super) first: u64,
    pub(super) began: DateTime<Utc>,
}

impl Current {
    pub(super) fn is_full(&self, length: u64, limits: &Segments, now: DateTime<Utc>) -> bool {
        let age = TimeDelta::from_std(limits.age).unwrap_or(TimeDelta::MAX);
        length >= limits.size || now - self.began >= age
    }

    /// Where the file is kept when it is closed.
    pub(super) fn closed(&self, log: &Path) -> PathBuf {
        files::segment(log, self.first)
    }
}

/// Compresses what has been closed and is not compressed yet.
pub(super) fn compress_closed(log: &Path) -> io::Result<()> {
    for path in files::closed(log)? {
        if files::number_of(log, &path).is_some() && path.extension() != Some("zst".as_ref()) {
            compress(&path)?;
        }
    }
    Ok(())
}

fn compress(path: &Path) -> io::Result<()> {
    let to = beside(path, COMPRESSED);
    let new = beside(&to, ".tmp");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    let mut encoder = zstd::Encoder::new(file, LEVEL)?;
    encoder.include_checksum(true)?;
    let mut from = File::open(path)?;
    io::copy(&mut from, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(new, to)?;
    fs::remove_file(path)
}

/// A closed file that may be removed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Old {
    pub(super) path: PathBuf,
    pub(super) first: u64,
    pub(super) last: u64,
}

/// The files whose last record is old enough, the oldest first. Only those that pgvalet itself
/// has closed are among them, and none with a record after `taken`, which a sink still needs.
pub(super) fn old(
    log: &Path,
    limits: &Segments,
    taken: u64,
    now: DateTime<Utc>,
) -> io::Result<Vec<Old>> {
    let Some(keep) = limits.keep.and_then(|keep| TimeDelta::from_std(keep).ok()) else {
        return Ok(Vec::new());
    };
    let segments = files::list(log)?;
    let mut old = Vec::new();
    for pair in segments.windows(2) {
        let [this, next] = pair else { break };
        // The next file began when this one was closed.
        let closed = DateTime::parse_from_rfc3339(&next.time);
        let is_old = closed.is_ok_and(|closed| now - closed.to_utc() >= keep);
        let needed = next.first > taken.saturating_add(1);
        if !is_old || needed || files::number_of(log, &this.path).is_none() {
            break; // what is younger is kept too, so that no hole appears
        }
        old.push(Old {
            path: this.path.clone(),
            first: this.first,
            last: next.first.saturating_sub(1),
        });
    }
    Ok(old)
}
