//! The address of the admin listener.

use std::path::PathBuf;

/// `[admin] address`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// `host:port`
    Tcp(String),
    /// The path of the socket itself, not of its directory.
    Unix(PathBuf),
}

impl std::fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
