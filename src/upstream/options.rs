//! How the server of a database is reached, and what a login there may be.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::{Hosts, SessionAttrs};
use crate::net::tls::TlsOptions;
use crate::net::{TcpOptions, UpstreamTls};
use crate::secret::UpstreamAuth;
use crate::vault::ServerUrl;

/// How the server of a database is reached, and what a login there may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The NAME of `[database.NAME]`.
    pub name: Arc<str>,
    /// Host, port and database given here win over those of the secret; the client
    /// never chooses them. A host that starts with `/` is the directory of a unix
    /// socket.
    pub host: Option<Hosts>,
    /// The port of hosts that name none of their own.
    pub port: Option<u16>,
    /// The directory of a unix socket that is tried first, where a host is this machine.
    pub prefer_socket: Option<Arc<str>>,
    pub target_session_attrs: SessionAttrs,
    pub dbname: Option<String>,
    /// TLS to the server. `None`: `disable` for loopback and unix-socket hosts, else `verify-full`.
    pub tls: Option<UpstreamTls>,
    pub tls_options: TlsOptions,
    pub tcp: TcpOptions,
    /// Whether a login is refused that is not bound to its TLS connection (SCRAM-SHA-256-PLUS).
    pub require_channel_binding: bool,
    /// Servers that ask for other numbers of SCRAM iterations are refused: fewer protect
    /// the password too little, and many more cost a hostile server nothing.
    pub scram_iterations: RangeInclusive<u32>,
    pub auth: UpstreamAuth,
    /// Authentication methods beyond SCRAM-SHA-256 that this server may ask for.
    pub allow_md5: bool,
    /// Whether the password may be sent in clear: only over TLS with a verified name, or on a unix
    /// socket or loopback.
    pub allow_cleartext: bool,
    /// The limit of a login at each host.
    pub connect_timeout: Duration,
    /// The database of the store that keeps the secret, in which no login may end.
    pub store: Option<Arc<ServerUrl>>,
}

impl Options {
    /// Whether logins go to the same place in the same way. What they may take, and
    /// where none may go, is no part of that.
    pub fn logs_in_like(&self, other: &Self) -> bool {
        let other = Self {
            connect_timeout: self.connect_timeout,
            store: self.store.clone(),
            ..other.clone()
        };
        *self == other
    }
}
