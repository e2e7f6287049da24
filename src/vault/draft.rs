//! Files that appear whole or not at all: they are written under another name
//! first.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::OpenError;

/// Creates the directory of a file with mode 0700, if it is missing.
pub fn make_parent(path: &Path) -> Result<(), OpenError> {
    let directory = parent(path);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| OpenError::Io {
            doing: "make the directory",
            path: directory.to_owned(),
            source,
        })
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// A file under a temporary name, which is removed when this is dropped. Publishing
/// links the file to its real name, which fails if that name exists: readers see no
/// file or a whole one, and one of two processes that create it wins.
pub struct Draft {
    pub path: PathBuf,
}

impl Draft {
    pub fn new(target: &Path) -> Result<Self, OpenError> {
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".{}", uuid::Uuid::new_v4().simple()));
        let path = parent(target).join(name);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| OpenError::Io {
                doing: "create a file beside",
                path: target.to_owned(),
                source,
            })?;
        Ok(Self { path })
    }

    pub fn write(&self, content: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        file.write_all(content)?;
        file.sync_all()
    }

    /// Publishes the draft. False: there was a file already, which stays.
    pub fn publish(&self, target: &Path) -> io::Result<bool> {
        match fs::hard_link(&self.path, target) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(e) => return Err(e),
        }
        sync_parent(target)?;
        Ok(true)
    }

    /// Publishes the draft in place of a file that may be there.
    pub fn replace(&self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        sync_parent(target)
    }
}

/// Syncs the directory of a file, so that its new name survives a power cut.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
