//! Whom a connection is counted for.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::access::Evidence;
use crate::net::Peer;

/// The origin of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// An address; of an IPv6 address, its /64.
    Address(IpAddr),
    /// The user at the other end of a unix socket.
    User(u32),
    /// A load balancer that has not said yet whom it speaks for.
    Proxy,
}

impl Origin {
    pub fn of(evidence: &Evidence) -> Self {
        match evidence.peer {
            Peer::Unix { uid, .. } => Self::User(uid),
            Peer::Tcp(address) => Self::Address(match address.ip() {
                // A host that has one IPv6 address mostly has the rest of its /64 as well.
                IpAddr::V6(v6) => {
                    let network = u128::from(v6) & !u128::from(u64::MAX);
                    IpAddr::V6(Ipv6Addr::from(network))
                }
                v4 => v4,
            }),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(network)) => write!(f, "{network}/64"),
            Self::Address(address) => address.fmt(f),
            Self::User(uid) => write!(f, "unix:uid={uid}"),
            Self::Proxy => f.write_str("load balancer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_origin() {
        let of = |text: &str| {
            Origin::of(&Evidence::new(Peer::Tcp(
                format!("[{text}]:1").parse().unwrap(),
            )))
        };
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("2001:db8::1").to_string(), "2001:db8::/64");
    }
}
