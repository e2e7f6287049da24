//! How many connections there may be: in all, and of one address, so that one
//! that is abused leaves room for the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::serve::{CONNECTIONS, OF_ADDRESS};

#[derive(Default, Clone)]
pub struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// Taken until it is dropped.
pub struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    pub fn take(&self, address: IpAddr) -> Option<Place> {
        let mut taken = self.lock();
        let of_address = taken.get(&address).copied().unwrap_or(0);
        if of_address >= OF_ADDRESS || taken.values().sum::<usize>() >= CONNECTIONS {
            return None;
        }
        taken.insert(address, of_address + 1);
        Some(Place {
            places: self.clone(),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(of_address) = taken.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_take_all_places() {
        let places = Places::default();
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let take = |n: u8, count: usize| -> Vec<Place> {
            (0..count).filter_map(|_| places.take(address(n))).collect()
        };
        let first = take(1, OF_ADDRESS + 10);
        assert_eq!(first.len(), OF_ADDRESS);
        let others: Vec<_> = (2..20).map(|n| take(n, OF_ADDRESS)).collect();
        let all = first.len() + others.iter().map(Vec::len).sum::<usize>();
        assert_eq!(all, CONNECTIONS);
        drop(first);
        assert_eq!(take(1, 1).len(), 1);
        drop(others);
        assert!(places.lock().is_empty());
    }
}
