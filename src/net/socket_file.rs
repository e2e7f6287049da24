//! The file of a unix socket: removed with its listener, and before another binds there.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UnixStream;

use super::listener::ListenError;
use super::passed::SocketKind;

/// The file of a unix socket that this process listens on.
pub struct SocketFile {
    path: PathBuf,
    kind: SocketKind,
    removed: Removed,
}

/// Whether a file is removed when its listener is closed: not if it is systemd's, nor while it
/// is that of another process.
#[derive(Clone)]
pub struct Removed(Arc<AtomicBool>);

impl Removed {
    pub fn set(&self, removed: bool) {
        self.0.store(removed, Ordering::Release);
    }
}

impl SocketFile {
    /// Made by this process.
    pub(super) fn made(path: PathBuf) -> Self {
        let file = Self::inherited(path, SocketKind::Unix);
        file.removed.set(true);
        file
    }

    /// Made by systemd.
    pub(super) fn passed(path: PathBuf) -> Self {
        Self::inherited(path, SocketKind::PassedUnix)
    }

    /// The file of the process before this one, which still serves it.
    pub(super) fn inherited(path: PathBuf, kind: SocketKind) -> Self {
        Self {
            path,
            kind,
            removed: Removed(Arc::default()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn kind(&self) -> SocketKind {
        self.kind
    }

    pub(super) fn removed(&self) -> Removed {
        self.removed.clone()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.removed.0.load(Ordering::Acquire) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket file that a killed process left behind. It is left alone if
/// another process answers on it.
pub(super) async fn remove_stale(path: &Path) -> Result<(), ListenError> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(ListenError::SocketInUse(path.to_owned())),
        Err(_) => {
            let _ = fs::remove_file(path);
            Ok(())
        }
    }
}
