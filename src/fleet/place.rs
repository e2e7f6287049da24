//! The address at which the other replicas find this one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use tracing::warn;

use super::peers::{Peers, lookup};

/// `[fleet] replica`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replica {
    /// Which of `peers` it is, from 1.
    Number(usize),
    /// Its host, and its port if that is another one than it listens on.
    Address(String, Option<u16>),
}

/// The address of this replica. `bound`: where it listens.
pub(super) async fn find(
    replica: Option<&Replica>,
    bound: SocketAddr,
    peers: &Peers,
) -> SocketAddr {
    let said = match replica {
        None => None,
        Some(Replica::Number(number)) => peers.nth(number.saturating_sub(1)).await,
        Some(Replica::Address(host, port)) => {
            let found = lookup(host, port.unwrap_or(bound.port())).await;
            found.ok().and_then(|found| found.into_iter().next())
        }
    };
    let guessed = match said {
        Some(said) => return said,
        None => guess(bound, &peers.addresses().await),
    };
    if replica.is_some() {
        warn!(
            "[fleet] replica has no address now; taking {guessed} for the address of this replica"
        );
    }
    guessed
}

/// The address that it listens on, or else the one from which it reaches the others.
fn guess(bound: SocketAddr, peers: &[SocketAddr]) -> SocketAddr {
    let ip = bound.ip().to_canonical();
    if !ip.is_unspecified() {
        return SocketAddr::new(ip, bound.port());
    }
    // Addresses of documentation (RFC 5737, 3849) stand for anywhere. Nothing is sent.
    let anywhere = [
        SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9)),
        SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9)),
    ];
    let mut targets = peers.iter().chain(&anywhere);
    let ip = targets.find_map(|target| source_towards(*target));
    SocketAddr::new(ip.unwrap_or(Ipv4Addr::LOCALHOST.into()), bound.port())
}

/// The address of this machine from which packets go there.
fn source_towards(target: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(target).ok()?;
    let ip = socket.local_addr().ok()?.ip().to_canonical();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[tokio::test]
    async fn what_is_said_is_taken_and_else_what_is_known() {
        let peers = Peers::new(vec![("127.0.0.1".into(), 1), ("127.0.0.2".into(), 2)]);
        let bound = address("127.0.0.9:7");
        let at = |host: &str, port| Replica::Address(host.to_owned(), port);
        for (replica, expected) in [
            (Some(Replica::Number(2)), "127.0.0.2:2"),
            (Some(at("10.1.2.3", None)), "10.1.2.3:7"),
            (Some(at("10.1.2.3", Some(9))), "10.1.2.3:9"),
            (Some(at("no.invalid", None)), "127.0.0.9:7"),
            (None, "127.0.0.9:7"),
        ] {
            let found = find(replica.as_ref(), bound, &peers).await;
            assert_eq!(found, address(expected), "{replica:?}");
        }
        // From any address, one reaches loopback from loopback.
        let found = find(None, address("0.0.0.0:7"), &peers).await;
        assert_eq!(found, address("127.0.0.1:7"));
    }
}
