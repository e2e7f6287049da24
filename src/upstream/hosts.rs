//! The servers of a database: one, or several, of which the first suitable one is
//! used.

use std::fmt;

use crate::base::nonempty;
use crate::net::is_local;

/// One server: a name, an address, or (with a leading `/`) the directory of a unix
/// socket; and its port, where it has one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub name: String,
    pub port: Option<u16>,
}

/// The servers of a database, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts(Vec<Host>);

impl Hosts {
    /// Reads a list like `a`, `a:5432,b`, `[::1]:5432` or `/run/postgresql`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        nonempty(text)?;
        text.split(',').map(|one| host(one.trim())).collect()
    }

    /// The hosts in the order in which they are tried.
    pub fn iter(&self) -> impl Iterator<Item = &Host> {
        self.0.iter()
    }

    /// Whether all of them are this machine.
    pub fn are_local(&self) -> bool {
        self.0.iter().all(|host| is_local(&host.name))
    }

    /// Joins several lists; `None` where there is no host.
    pub fn from_list(lists: Vec<Self>) -> Option<Self> {
        let all: Vec<Host> = lists.into_iter().flat_map(|hosts| hosts.0).collect();
        (!all.is_empty()).then_some(Self(all))
    }
}

impl FromIterator<Host> for Hosts {
    fn from_iter<T: IntoIterator<Item = Host>>(hosts: T) -> Self {
        Self(hosts.into_iter().collect())
    }
}

fn host(text: &str) -> Result<Host, String> {
    let wrong = || format!("{text:?} is no host; write it like \"db.example.com:5432\"");
    let alone = |name: &str| Host {
        name: name.to_owned(),
        port: None,
    };
    if text.is_empty() {
        return Err("a host in the list is empty; remove the comma".to_owned());
    }
    if text.starts_with('/') || text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok(alone(text));
    }
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(wrong)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            match port {
                "" => (address, None),
                port => (address, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            }
        }
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(wrong());
    }
    let port = match port {
        None => None,
        Some(port) => Some(
            port.parse()
                .ok()
                .filter(|p| *p != 0 && port.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(wrong)?,
        ),
    };
    Ok(Host {
        name: name.to_owned(),
        port,
    })
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, host) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            match host.port {
                Some(port) if host.name.contains(':') => write!(f, "[{}]:{port}", host.name)?,
                Some(port) => write!(f, "{}:{port}", host.name)?,
                None => f.write_str(&host.name)?,
            }
        }
        Ok(())
    }
}

/// Which of several servers is wanted (libpq's `target_session_attrs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionAttrs {
    /// The first server that answers.
    #[default]
    Any,
    /// A server that is no standby, and whose sessions may write.
    ReadWrite,
    /// A standby, or a server whose sessions may not write.
    ReadOnly,
    /// A standby, and where there is none whatever answers.
    PreferStandby,
}

impl SessionAttrs {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::PreferStandby => "prefer-standby",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_of_hosts() {
        for (text, expected) in [
            ("a", vec![("a", None)]),
            ("a:5432, b", vec![("a", Some(5432)), ("b", None)]),
            ("::1", vec![("::1", None)]),
            (
                "[::1]:1,10.0.0.1:2",
                vec![("::1", Some(1)), ("10.0.0.1", Some(2))],
            ),
            ("/run/postgresql", vec![("/run/postgresql", None)]),
        ] {
            let hosts = Hosts::parse(text).expect(text);
            let found: Vec<_> = hosts.iter().map(|h| (h.name.as_str(), h.port)).collect();
            assert_eq!(found, expected, "{text}");
            assert_eq!(Hosts::parse(&hosts.to_string()), Ok(hosts), "{text}");
        }
        for text in [
            "", "a,", ",a", "a:", "a:0", "a:x", "a:+1", ":1", "[a]:1", "[::1", "[::1]1", "a b",
        ] {
            assert!(Hosts::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            if let Ok(hosts) = Hosts::parse(&text) {
                prop_assert_eq!(Hosts::parse(&hosts.to_string()), Ok(hosts));
            }
        }
    }
}
