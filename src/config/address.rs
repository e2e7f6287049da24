//! Addresses and sockets as they are written.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use crate::base::nonempty;
use crate::net::ListenAddress;

/// The port of a unix socket where no TCP address gives one.
const DEFAULT_PORT: u16 = 6432;

/// `sun_path` holds 108 bytes with its NUL (unix(7)); the name inside the
/// directory takes up to 16 (`/.s.PGSQL.65535`).
const LONGEST_SOCKET_DIRECTORY: usize = LONGEST_SOCKET - 15;
const LONGEST_SOCKET: usize = 107;

/// A `[listen] address` as written: a host, or the directory of a unix socket. A socket without
/// a port gets its port from [`with_ports`].
pub(super) struct WrittenAddress {
    host: Result<String, PathBuf>,
    port: Option<u16>,
}

pub(super) fn listen_address(text: &str) -> Result<WrittenAddress, String> {
    let Some(rest) = text.strip_prefix("unix:") else {
        let (host, port) = host_port(text)?;
        return Ok(WrittenAddress {
            host: Ok(host),
            port: Some(port),
        });
    };
    let (directory, port) = match rest.rsplit_once(':') {
        Some((directory, port)) => {
            let port = port.parse().ok().filter(|p| *p != 0).ok_or_else(|| {
                format!("{port:?} is no port; write unix:{directory}:6432 or unix:{directory}")
            })?;
            (directory, Some(port))
        }
        None => (rest, None),
    };
    if !directory.starts_with('/') {
        return Err(format!(
            "the directory of a unix socket must start with a slash; write unix:/{directory}"
        ));
    }
    nonempty(directory)?;
    if directory.len() > LONGEST_SOCKET_DIRECTORY {
        return Err(format!(
            "the directory has {} bytes, but the path of a unix socket allows {LONGEST_SOCKET_DIRECTORY}; use a shorter one",
            directory.len()
        ));
    }
    Ok(WrittenAddress {
        host: Err(PathBuf::from(directory)),
        port,
    })
}

/// The path of a unix socket.
pub(super) fn socket_path(text: &str) -> Result<PathBuf, String> {
    if !text.starts_with('/') || text.ends_with('/') {
        return Err(format!(
            "{text:?} is no path of a socket; write unix:/run/pgvalet/admin.sock"
        ));
    }
    nonempty(text)?;
    if text.len() > LONGEST_SOCKET {
        return Err(format!(
            "the path has {} bytes, but that of a unix socket may have {LONGEST_SOCKET}; use a shorter one",
            text.len()
        ));
    }
    Ok(PathBuf::from(text))
}

/// Gives unix sockets without a port that of the first TCP address.
pub(super) fn with_ports(written: Vec<WrittenAddress>) -> Vec<ListenAddress> {
    let default = written
        .iter()
        .find(|w| w.host.is_ok())
        .and_then(|w| w.port)
        .filter(|p| *p != 0) // 0 is "any free port"
        .unwrap_or(DEFAULT_PORT);
    written
        .into_iter()
        .map(|w| {
            let port = w.port.unwrap_or(default);
            match w.host {
                Ok(host) => ListenAddress::Tcp { host, port },
                Err(directory) => ListenAddress::Unix { directory, port },
            }
        })
        .collect()
}

/// Reads `host:port`, with brackets around an IPv6 address; port 0 is any free one.
pub(super) fn host_port(text: &str) -> Result<(String, u16), String> {
    let wrong =
        || format!("{text:?} is no address; write it like \"127.0.0.1:6432\" or \"[::1]:6432\"");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    if host == "*" {
        return Err(format!(
            "{text:?} is no address; write \"0.0.0.0:{port}\" for all addresses"
        ));
    }
    let host = match host.strip_prefix('[').map(|h| h.strip_suffix(']')) {
        Some(Some(v6)) => v6.parse::<Ipv6Addr>().map_err(|_| wrong())?.to_string(),
        Some(None) => return Err(wrong()),
        None => host.to_owned(),
    };
    let bare_v6 = host.contains(':') && !text.starts_with('[');
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) || bare_v6 {
        return Err(wrong());
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<ListenAddress> {
        with_ports(
            texts
                .iter()
                .map(|t| listen_address(t).unwrap_or_else(|e| panic!("{e}")))
                .collect(),
        )
    }

    #[test]
    fn unix_sockets_take_the_port_of_the_first_tcp_address() {
        let unix = |directory: &str, port| ListenAddress::Unix {
            directory: directory.into(),
            port,
        };
        let tcp = |host: &str, port| ListenAddress::Tcp {
            host: host.into(),
            port,
        };
        assert_eq!(
            addresses(&["unix:/run/a", "[::1]:7000", "unix:/run/b:5432", "h:8000"]),
            [
                unix("/run/a", 7000),
                tcp("::1", 7000),
                unix("/run/b", 5432),
                tcp("h", 8000)
            ]
        );
        assert_eq!(addresses(&["unix:/run/a"]), [unix("/run/a", 6432)]);
        assert_eq!(addresses(&["unix:/run/a", "h:0"])[0], unix("/run/a", 6432));
    }

    #[test]
    fn addresses_that_are_none() {
        for text in [
            "",
            "6432",
            ":6432",
            "127.0.0.1",
            "::1:6432",
            "[::1]",
            "[x]:1",
            "h:65536",
            "a b:1",
            "unix:",
            "unix:relative",
            "unix:/run/a:x",
            "unix:/run/a:0",
        ] {
            assert!(listen_address(text).is_err(), "{text}");
        }
        let long = format!("unix:/{}", "d".repeat(92));
        assert!(listen_address(&long).is_err_and(|e| e.contains("shorter")));
        assert!(listen_address(&long[..long.len() - 1]).is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = (listen_address(&text), socket_path(&text));
        }
    }
}
