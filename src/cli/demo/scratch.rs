//! The directory that everything of the demo is in.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::DemoError;

/// Removed when dropped, unless it is to be kept.
pub struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    pub fn new(keep: bool) -> Result<Self, DemoError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let path = std::env::temp_dir().join(format!("pgvalet-demo-{}", &id[..8]));
        // Others may pass through, because Postgres may run as another user,
        // but not look around.
        DirBuilder::new()
            .mode(0o711)
            .create(&path)
            .map_err(DemoError::io("make the directory", &path))?;
        Ok(Self { path, keep })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path, if the directory is kept.
    pub fn kept(&self) -> Option<&Path> {
        self.keep.then_some(self.path.as_path())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // A process that was just killed may still be writing.
        for _ in 0..50 {
            if fs::remove_dir_all(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
