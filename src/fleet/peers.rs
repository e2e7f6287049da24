//! The addresses of the replicas, as `[fleet] peers` names them: looked up when they are needed,
//! because those of a headless service come and go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::lookup_host;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::debug;

/// How long an answer of the name service is used.
const FRESH: Duration = Duration::from_secs(5);
/// How long the name service may take.
const LOOKUP: Duration = Duration::from_secs(2);
/// The addresses used of all names together.
const MOST: usize = 4096;

pub(super) struct Peers {
    names: Vec<(String, u16)>,
    known: Mutex<Option<Known>>,
}

#[derive(Clone)]
struct Known {
    addresses: Arc<[SocketAddr]>,
    since: Instant,
}

impl Peers {
    pub fn new(names: Vec<(String, u16)>) -> Self {
        Self {
            names,
            known: Mutex::default(),
        }
    }

    /// The addresses. Whoever asks while a lookup is under way waits for the same one.
    pub async fn addresses(&self) -> Arc<[SocketAddr]> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known
            && known.since.elapsed() < FRESH
        {
            return known.addresses.clone();
        }
        let mut found = Vec::new();
        let lookups = self.names.iter().map(|(host, port)| lookup(host, *port));
        for result in futures_util::future::join_all(lookups).await {
            match result {
                Ok(addresses) => found.extend(addresses),
                Err(why) => debug!("[fleet] peers: {why}"),
            }
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(MOST);
        // Old addresses are better than none while the name service is away.
        let addresses = match &*known {
            Some(known) if found.is_empty() => known.addresses.clone(),
            _ => found.into(),
        };
        *known = Some(Known {
            addresses: addresses.clone(),
            since: Instant::now(),
        });
        addresses
    }

    /// The address of one of the names.
    pub async fn nth(&self, index: usize) -> Option<SocketAddr> {
        let (host, port) = self.names.get(index)?;
        lookup(host, *port).await.ok()?.into_iter().next()
    }
}

/// The addresses of a host.
///
/// # Errors
/// Why there are none.
pub(super) async fn lookup(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = timeout(LOOKUP, lookup_host((host, port))).await;
    let found = found.map_err(|_| format!("{host}: the name service does not answer"))?;
    let found = found.map_err(|e| format!("{host}: {e}"))?;
    Ok(found
        .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_of_every_name() {
        let names = [
            ("127.0.0.2", 1),
            ("::ffff:127.0.0.1", 2),
            ("127.0.0.2", 1),
            ("no.invalid", 3),
        ];
        let peers = Peers::new(names.map(|(host, port)| (host.to_owned(), port)).into());
        let expected = ["127.0.0.1:2", "127.0.0.2:1"].map(|a| a.parse().expect("an address"));
        assert_eq!(*peers.addresses().await, expected);
        assert_eq!(peers.nth(1).await, Some(expected[0]));
        assert_eq!(peers.nth(3).await, None);
        assert_eq!(peers.nth(4).await, None);
    }
}
