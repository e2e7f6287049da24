//! Where the API is served over HTTP.

use std::path::PathBuf;

/// The listener of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreListen {
    /// The table of the store, for messages: `[store.NAME]`.
    pub title: String,
    /// `host:port`
    pub address: String,
    /// `None`: plain HTTP, which the configuration allows on loopback only.
    pub tls: Option<StoreTls>,
}

/// Certificate and key of the listener, as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}
