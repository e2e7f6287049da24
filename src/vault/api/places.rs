//! Who may be connected: so many in all, and of one address. When there is no
//! place left, the connection that has been silent for longest gives way to the
//! newcomer, first one of the address that holds most. So somebody who is not
//! known yet takes nothing from others, and an honest client is known within
//! milliseconds.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::holders::{Holders, Id};

/// Connections in all.
pub const CONNECTIONS: usize = 1024;
/// Connections of one address (of one /64 with IPv6).
pub const OF_ADDRESS: usize = 256;

/// The address as it is counted: whoever has one IPv6 address has the rest of
/// its /64 as well.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 => v4,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// No request of this connection was that of a principal yet.
    Stranger,
    /// Known, and between two requests.
    Idle,
    /// A whole request is being answered.
    Busy,
}

struct Connection {
    network: IpAddr,
    standing: Standing,
}

#[derive(Default)]
struct State {
    all: Holders<Connection>,
    of: HashMap<IpAddr, BTreeSet<Id>>,
}

#[derive(Default, Clone)]
pub struct Places(Arc<Mutex<State>>);

/// The place of one connection, given back when it is dropped.
pub struct Place {
    places: Places,
    id: Id,
    pub network: IpAddr,
    gives_way: Arc<Notify>,
}

impl Places {
    /// A place for a connection from this address. `None`: every connection that
    /// could give way is being answered.
    pub fn take(&self, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut state = self.0.lock();
        let of_network = state.of.get(&network).map_or(0, BTreeSet::len);
        if of_network >= OF_ADDRESS {
            let oldest = state.oldest_of(network)?;
            state.turn_away(oldest);
        } else if state.all.len() >= CONNECTIONS {
            let oldest = state.oldest_of_all()?;
            state.turn_away(oldest);
        }
        let (id, gives_way) = state.all.add(Connection {
            network,
            standing: Standing::Stranger,
        });
        state.of.entry(network).or_default().insert(id);
        drop(state);
        Some(Place {
            places: self.clone(),
            id,
            network,
            gives_way,
        })
    }
}

impl State {
    /// The oldest stranger, else the oldest idle connection.
    fn oldest(&self, among: impl Iterator<Item = Id> + Clone) -> Option<Id> {
        let is = |standing: Standing| {
            let mut among = among.clone();
            among.find(|id| self.all.get(*id).is_some_and(|c| c.standing == standing))
        };
        is(Standing::Stranger).or_else(|| is(Standing::Idle))
    }

    fn oldest_of(&self, network: IpAddr) -> Option<Id> {
        self.oldest(self.of.get(&network)?.iter().copied())
    }

    /// The oldest stranger of the address that has most of them; where there are
    /// none, the oldest idle connection.
    fn oldest_of_all(&self) -> Option<Id> {
        let mut strangers: HashMap<IpAddr, (usize, Id)> = HashMap::new();
        for (id, connection) in self.all.iter() {
            if connection.standing == Standing::Stranger {
                strangers.entry(connection.network).or_insert((0, id)).0 += 1;
            }
        }
        let most = strangers
            .into_values()
            .max_by_key(|(count, oldest)| (*count, Id::MAX - oldest));
        most.map(|(_, oldest)| oldest)
            .or_else(|| self.oldest(self.all.iter().map(|(id, _)| id)))
    }

    fn turn_away(&mut self, id: Id) {
        let gone = self.all.turn_away(id);
        self.forget(id, gone);
    }

    fn remove(&mut self, id: Id) {
        let gone = self.all.remove(id);
        self.forget(id, gone);
    }

    fn forget(&mut self, id: Id, gone: Option<Connection>) {
        let Some(Connection { network, .. }) = gone else {
            return;
        };
        if let Some(of) = self.of.get_mut(&network) {
            of.remove(&id);
            if of.is_empty() {
                self.of.remove(&network);
            }
        }
    }
}

impl Place {
    /// Returns when this connection has to give way.
    pub async fn gives_way(&self) {
        self.gives_way.notified().await;
    }

    /// A whole request has arrived, and is being answered.
    pub fn busy(&self) {
        self.stand(Standing::Busy);
    }

    /// The request was answered; `known`: it was that of a principal.
    pub fn answered(&self, known: bool) {
        self.stand(match known {
            true => Standing::Idle,
            false => Standing::Stranger,
        });
    }

    fn stand(&self, standing: Standing) {
        if let Some(connection) = self.places.0.lock().all.get_mut(self.id) {
            connection.standing = standing;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn take(places: &Places, n: u8, count: usize) -> Vec<Place> {
        let take = |_| places.take(address(n)).expect("a place");
        (0..count).map(take).collect()
    }

    fn gone(all: &[Place]) -> usize {
        let gone = |p: &&Place| p.gives_way().now_or_never().is_some();
        all.iter().filter(gone).count()
    }

    #[test]
    fn the_silent_ones_give_way() {
        let places = Places::default();
        let flood: Vec<_> = (1..=5).map(|n| take(&places, n, OF_ADDRESS)).collect();
        assert_eq!(places.0.lock().all.len(), CONNECTIONS);
        assert_eq!(flood.iter().map(|f| gone(f)).sum::<usize>(), OF_ADDRESS);
        // Another client gets in, and stays while the flood goes on.
        let other = take(&places, 9, 3);
        other[0].busy();
        other[1].answered(true);
        let more: Vec<_> = (1..=5).map(|n| take(&places, n, OF_ADDRESS)).collect();
        assert_eq!(gone(&other), 0);
        assert_eq!(places.0.lock().all.len(), CONNECTIONS);
        // One address alone has its own share only.
        drop((flood, more));
        let mine = take(&places, 1, OF_ADDRESS + 10);
        assert_eq!((gone(&mine), gone(&mine[..10])), (10, 0));
        assert_eq!(places.0.lock().all.len(), OF_ADDRESS + 3);
        drop((mine, other));
        let state = places.0.lock();
        assert!(state.all.len() == 0 && state.of.is_empty());
    }

    #[test]
    fn who_is_being_answered_stays() {
        let places = Places::default();
        let busy = take(&places, 1, OF_ADDRESS);
        busy.iter().for_each(Place::busy);
        assert!(places.take(address(1)).is_none());
        busy[7].answered(true);
        let new = places.take(address(1)).expect("an idle one gave way");
        assert_eq!(gone(&busy), 1);
        // A stranger gives way before one who is known, however old.
        busy[3].answered(true);
        assert!(places.take(address(1)).is_some());
        assert!(new.gives_way().now_or_never().is_some());
        assert_eq!(gone(&busy), 0);
    }

    #[test]
    fn a_64_is_one_address() {
        let places = Places::default();
        let host = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n]);
        let taken: Vec<_> = (0..300).filter_map(|n| places.take(host(n))).collect();
        assert_eq!(places.0.lock().all.len(), OF_ADDRESS);
        let other = IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]);
        assert!(places.take(other).is_some());
        assert_eq!(gone(&taken), 300 - OF_ADDRESS);
        let mapped = "::ffff:10.0.0.1".parse().expect("an address");
        assert_eq!(network(mapped), address(1));
    }
}
