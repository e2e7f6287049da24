//! The texts inside values. Each reader gives the value, or a sentence that
//! says what is wrong and what to write.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::file::Section;
use crate::base::{duration, nonempty};
use crate::net::ListenAddress;
use crate::secret::SecretId;

/// The port of a unix socket where no TCP address gives one.
const DEFAULT_PORT: u16 = 6432;

/// `sun_path` holds 108 bytes with its NUL (unix(7)); the name inside the
/// directory takes up to 16 (`/.s.PGSQL.65535`).
const LONGEST_SOCKET_DIRECTORY: usize = LONGEST_SOCKET - 15;
const LONGEST_SOCKET: usize = 107;

/// A year: long enough for anyone, short enough that adding it to a clock
/// never overflows.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

impl Section<'_, '_> {
    /// A duration of at least `least`.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        least: Duration,
    ) -> Duration {
        self.text(key, |text| {
            let value = duration::parse(text)?;
            if value < least || value > LONGEST {
                let (least, most) = (duration::format(least), duration::format(LONGEST));
                return Err(format!(
                    "{text:?} is out of range; write \"{least}\" to \"{most}\""
                ));
            }
            Ok(value)
        })
        .unwrap_or(default)
    }

    pub(super) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.text(key, |text| nonempty(text).map(PathBuf::from))
    }

    /// How many clients at most; `None` where there is no such limit.
    pub(super) fn limit(&mut self, key: &'static str) -> Option<usize> {
        self.integer(key, 1..1_000_001)
            .and_then(|n| usize::try_from(n).ok())
    }

    pub(super) fn size(&mut self, key: &'static str, default: usize, allowed: Range<u64>) -> usize {
        self.integer(key, allowed)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(default)
    }
}

/// A `[listen] address`; a unix socket without a port gets its port from
/// [`with_ports`].
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

/// `host:port`, with brackets around an IPv6 address; port 0 is any free one.
pub(super) fn host_port(text: &str) -> Result<(String, u16), String> {
    let wrong =
        || format!("{text:?} is no address; write it like \"127.0.0.1:6432\" or \"[::1]:6432\"");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
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

/// A CIDR network, or an address alone.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            format!("{text:?} is no network; write it like \"10.0.0.0/8\" or \"10.1.2.3\"")
        })?,
    };
    if net.addr() != net.network() {
        return Err(format!(
            "{text:?} has bits set beyond its prefix; write \"{}\" for the network or \"{}\" for the one address",
            net.trunc(),
            net.addr()
        ));
    }
    // A client's mapped address is compared as the IPv4 address it is, so this
    // would never match.
    if let IpNet::V6(v6) = net
        && v6.prefix_len() >= 96
        && let Some(v4) = v6.addr().to_ipv4_mapped()
    {
        return Err(format!(
            "{text:?} is an IPv4 network in IPv6 clothing; write \"{v4}/{}\"",
            v6.prefix_len() - 96
        ));
    }
    Ok(net)
}

/// A name or an ARN, by the rules of Secrets Manager (CreateSecret, `Name`);
/// `!` stands in the names of secrets that AWS services manage (`rds!db-…`).
pub(super) fn secret(text: &str) -> Result<SecretId, String> {
    let name = if text.starts_with("arn:") {
        let parts: Vec<&str> = text.splitn(7, ':').collect();
        match parts[..] {
            ["arn", _, "secretsmanager", _, _, "secret", name] => name,
            _ => {
                return Err(format!(
                    "{text:?} is no secret's ARN; it looks like \"arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-XXXXXX\""
                ));
            }
        }
    } else {
        text
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-!".contains(c);
    if name.is_empty() || name.len() > 512 || !name.chars().all(allowed) {
        return Err(format!(
            "{text:?} is no secret's name; it has 1 to 512 of the letters, the digits and /_+=.@-!"
        ));
    }
    Ok(SecretId::new(text))
}

/// Permission bits in octal, in quotes, as chmod writes them.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777 && !text.starts_with('+'))
        .ok_or_else(|| format!("{text:?} is no file mode; write it in octal, like \"0660\""))
}

/// One of several words.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = words.iter().find(|(w, _)| *w == text) {
        return Ok(*value);
    }
    let list: Vec<String> = words.iter().map(|(w, _)| format!("\"{w}\"")).collect();
    Err(format!(
        "{text:?} is not possible; write {}",
        list.join(" or ")
    ))
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

    #[test]
    fn networks() {
        let net = |text: &str| network(text).map(|n| n.to_string());
        assert_eq!(net("10.0.0.0/8"), Ok("10.0.0.0/8".into()));
        assert_eq!(net("10.1.2.3"), Ok("10.1.2.3/32".into()));
        assert_eq!(net("::1"), Ok("::1/128".into()));
        assert_eq!(net("0.0.0.0/0"), Ok("0.0.0.0/0".into()));
        let e = net("10.0.0.1/8").expect_err("host bits");
        assert!(
            e.contains("\"10.0.0.0/8\"") && e.contains("\"10.0.0.1\""),
            "{e}"
        );
        let e = net("::ffff:10.0.0.0/104").expect_err("mapped");
        assert!(e.contains("\"10.0.0.0/8\""), "{e}");
        assert!(net("10.0.0.0/33").is_err());
        assert!(net("example.com").is_err());
    }

    #[test]
    fn secrets() {
        for text in [
            "prod/orders",
            "a",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/orders-AbCdEf",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-1",
        ] {
            assert!(secret(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "a b",
            "arn:aws:s3:::bucket",
            "arn:aws:secretsmanager:r:1:secret:",
            "é",
        ] {
            assert!(secret(text).is_err(), "{text}");
        }
        assert!(secret(&"a".repeat(513)).is_err());
    }

    #[test]
    fn modes() {
        assert_eq!(mode("0660"), Ok(0o660));
        assert_eq!(mode("600"), Ok(0o600));
        for text in ["", "0888", "1777", "+660", "rw"] {
            assert!(mode(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = (listen_address(&text), network(&text), secret(&text), mode(&text));
        }
    }
}
