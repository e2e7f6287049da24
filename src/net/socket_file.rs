//! The file of a unix socket: removed with its listener, and before another binds there.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

use super::listener::ListenError;

/// The file of a unix socket that this process listens on.
pub enum SocketFile {
    /// Made here, and removed when this is dropped.
    Made(PathBuf),
    /// Made by systemd, which keeps it for the next process.
    Passed(PathBuf),
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Made(path) | Self::Passed(path) => path,
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Self::Made(path) = self {
            let _ = fs::remove_file(path);
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
