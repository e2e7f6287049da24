//! Why a proxy cannot start.

use crate::admin::TokenError;
use crate::audit::AuditError;
use crate::fleet::KeyError;
use crate::net::listener::ListenError;
use crate::net::tls::TlsError;
use crate::secret::StoreError;
use crate::vault::api::ServeError;

/// Each text is one sentence that names the place and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{0}")]
    Listen(#[from] ListenError),
    #[error("[listen] {0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Audit(#[from] AuditError),
    #[error("cannot listen on [admin] address {address}: {source}")]
    Admin {
        address: String,
        source: std::io::Error,
    },
    #[error("cannot listen on [fleet] address {address}: {source}")]
    Fleet {
        address: String,
        source: std::io::Error,
    },
    #[error("[fleet] key_file: {0}")]
    FleetKey(#[from] KeyError),
    #[error("[listen] {key}: this machine knows no {name:?}")]
    UnknownOwner { key: &'static str, name: String },
    #[error("[admin] {0}")]
    Token(#[from] TokenError),
    #[error("{0}")]
    Serve(#[from] ServeError),
    #[error("{0}")]
    Upgrade(String),
    #[error("a listening socket cannot be kept for an upgrade: {0}")]
    Share(std::io::Error),
}
