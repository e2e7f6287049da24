//! What was made of files, and is made again when they change.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tracing::warn;

use super::TlsError;

/// What changes when a file is written or another is put in its place.
pub(super) type Stamp = Option<(SystemTime, u64)>;

/// What was made of files, and is made again when they have changed: certificates and
/// revocation lists are renewed while pgvalet runs.
#[derive(Debug)]
pub(super) struct Reread<T> {
    files: Vec<PathBuf>,
    current: ArcSwap<T>,
    /// The state of the files when they were read last.
    stamps: Mutex<Vec<Stamp>>,
}

impl<T> Reread<T> {
    /// # Errors
    /// [`TlsError`], from `make`.
    pub fn new(
        files: Vec<PathBuf>,
        make: impl FnOnce() -> Result<T, TlsError>,
    ) -> Result<Self, TlsError> {
        let stamps = stamps(&files);
        Ok(Self {
            current: ArcSwap::from_pointee(make()?),
            files,
            stamps: Mutex::new(stamps),
        })
    }

    /// What the files say now. Files that cannot be used change nothing, and are read
    /// again after their next change.
    pub fn get(&self, make: impl FnOnce() -> Result<T, TlsError>) -> Arc<T> {
        let now = stamps(&self.files);
        let mut seen = self.stamps.lock();
        if *seen != now {
            *seen = now;
            match make() {
                Ok(new) => self.current.store(Arc::new(new)),
                Err(error) => warn!("{error}; what was read before stays in force"),
            }
        }
        self.current.load_full()
    }
}

pub(super) fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(stamp).collect()
}
