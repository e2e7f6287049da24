//! Where listeners are, and which hosts are this machine.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// An entry of `[listen] address`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    Tcp {
        host: String,
        port: u16,
    },
    /// The socket is `DIRECTORY/.s.PGSQL.PORT`.
    Unix {
        directory: PathBuf,
        port: u16,
    },
}

/// Whether a listener on `host` can be reached from this machine only.
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether an upstream host is this machine: loopback, or the directory of a unix socket.
pub fn is_local(host: &str) -> bool {
    host.starts_with('/') || is_loopback(host)
}

/// The address with an IPv4-mapped IPv6 address written as IPv4.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_local() {
        for host in [
            "/run/postgresql",
            "localhost",
            "127.0.0.1",
            "127.1.2.3",
            "::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "db.example.com",
            "10.0.0.1",
            "localhost.example.com",
            "0.0.0.0",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
