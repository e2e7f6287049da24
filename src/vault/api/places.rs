//! How many connections there may be: in all, and of one address. Beyond that the oldest
//! gives way, of the address with the most: whoever means it is done in no time, also
//! where somebody holds connections open that say nothing.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::serve::{CONNECTIONS, OF_ADDRESS};

#[derive(Default, Clone)]
pub struct Places(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Counts up: the smallest is the oldest.
    next: u64,
    taken: HashMap<IpAddr, BTreeMap<u64, Arc<Notify>>>,
}

/// Taken until it is dropped.
pub struct Place {
    places: Places,
    address: IpAddr,
    id: u64,
    gives_way: Arc<Notify>,
}

impl Places {
    pub fn take(&self, address: IpAddr) -> Place {
        let address = network(address);
        let gives_way = Arc::new(Notify::new());
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        let own = state.taken.entry(address).or_default();
        own.insert(id, gives_way.clone());
        if own.len() > OF_ADDRESS {
            state.turn_away(address);
        } else if state.taken.values().map(BTreeMap::len).sum::<usize>() > CONNECTIONS {
            let most = state.taken.iter().max_by_key(|(_, of_it)| of_it.len());
            if let Some(address) = most.map(|(address, _)| *address) {
                state.turn_away(address);
            }
        }
        drop(state);
        Place {
            places: self.clone(),
            address,
            id,
            gives_way,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The oldest of an address.
    fn turn_away(&mut self, address: IpAddr) {
        if let Some(of_it) = self.taken.get_mut(&address)
            && let Some((_, oldest)) = of_it.pop_first()
        {
            oldest.notify_one();
        }
    }
}

/// Whoever has one IPv6 address has the rest of its /64 as well.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 => v4,
    }
}

impl Place {
    /// Comes to an end when this one has to give way to others.
    pub async fn gives_way(&self) {
        self.gives_way.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.lock();
        if let Some(of_it) = state.taken.get_mut(&self.address) {
            of_it.remove(&self.id);
            if of_it.is_empty() {
                state.taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn gone(place: &Place) -> bool {
        place.gives_way().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_of_an_address_gives_way_and_nobody_is_kept_out() {
        let places = Places::default();
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let honest = places.take(address(9));
        let flood: Vec<Place> = (0..OF_ADDRESS + 10)
            .map(|_| places.take(address(1)))
            .collect();
        let away: Vec<bool> = flood.iter().map(gone).collect();
        assert!(away[..10].iter().all(|gone| *gone));
        assert!(!away[10..].iter().any(|gone| *gone));

        // From many addresses: the crowds lose places, and the honest does not.
        let more: Vec<Place> = (0..CONNECTIONS * 2)
            .map(|n| places.take(address(10 + (n % 8) as u8)))
            .collect();
        let newcomer = places.take(address(200));
        assert!(!gone(&honest) && !gone(&newcomer));
        let here = || {
            places
                .lock()
                .taken
                .values()
                .map(BTreeMap::len)
                .sum::<usize>()
        };
        assert_eq!(here(), CONNECTIONS);
        drop((honest, flood, more, newcomer));
        assert!(places.lock().taken.is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
