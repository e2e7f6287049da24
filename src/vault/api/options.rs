//! Where the API is served.

use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreListen {
    /// `host:port`
    pub address: String,
    /// Without it, only loopback is possible.
    pub tls: Option<StoreTls>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreTls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}
