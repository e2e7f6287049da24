//! How much of requests may be in memory at a time, whose signatures nobody has
//! looked at: a signature can only be checked with the whole body. Where there
//! is no more room, the request that holds it for longest gives way, first of
//! the address that holds most; it is told to try again.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::ApiError;

/// In all, and of one address.
pub const BODIES: usize = 16 * 1024 * 1024;
pub const BODIES_OF_ADDRESS: usize = 4 * 1024 * 1024;

#[derive(Default, Clone)]
pub struct Bodies(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Counts up: the smallest is the oldest.
    next: u64,
    all: BTreeMap<u64, Held>,
}

struct Held {
    network: IpAddr,
    bytes: usize,
    /// All of it has come.
    whole: bool,
    gives_way: Arc<Notify>,
}

/// Room for one body, given back when it is dropped.
pub struct Room {
    bodies: Bodies,
    id: u64,
    network: IpAddr,
    gives_way: Arc<Notify>,
}

/// What whoever has to give way is told. The SDKs try again by themselves.
pub fn throttled() -> ApiError {
    ApiError::new(
        "ThrottlingException",
        "Too much is being sent to the store at a time; try again.",
    )
}

impl Bodies {
    pub fn room(&self, network: IpAddr) -> Room {
        let gives_way = Arc::new(Notify::new());
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        let held = Held {
            network,
            bytes: 0,
            whole: false,
            gives_way: gives_way.clone(),
        };
        state.all.insert(id, held);
        drop(state);
        Room {
            bodies: self.clone(),
            id,
            network,
            gives_way,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    fn held(&self, of: Option<IpAddr>) -> usize {
        let all = self.all.values();
        all.filter(|h| of.is_none_or(|of| of == h.network))
            .map(|h| h.bytes)
            .sum()
    }

    /// The oldest of an address whose body is still to come; not `but`.
    fn oldest(&self, of: IpAddr, but: u64) -> Option<u64> {
        let mut all = self.all.iter();
        all.find(|(id, h)| **id != but && h.network == of && !h.whole && h.bytes > 0)
            .map(|(id, _)| *id)
    }

    /// The address that holds most of what is still to come.
    fn largest(&self, but: u64) -> Option<IpAddr> {
        let mut sums: HashMap<IpAddr, usize> = HashMap::new();
        for (id, held) in &self.all {
            if *id != but && !held.whole && held.bytes > 0 {
                *sums.entry(held.network).or_default() += held.bytes;
            }
        }
        let most = sums.into_iter().max_by_key(|(_, bytes)| *bytes);
        most.map(|(network, _)| network)
    }

    fn turn_away(&mut self, id: u64) {
        if let Some(held) = self.all.remove(&id) {
            held.gives_way.notify_one();
        }
    }
}

impl Room {
    /// Room for so many more bytes.
    ///
    /// # Errors
    /// `ThrottlingException`: there is none, and nobody to give way.
    pub fn grow(&self, bytes: usize) -> Result<(), ApiError> {
        let mut state = self.bodies.lock();
        // Whoever had to give way takes nothing from others any more.
        if !state.all.contains_key(&self.id) {
            return Err(throttled());
        }
        while state.held(Some(self.network)) + bytes > BODIES_OF_ADDRESS {
            let oldest = state.oldest(self.network, self.id).ok_or_else(throttled)?;
            state.turn_away(oldest);
        }
        while state.held(None) + bytes > BODIES {
            let largest = state.largest(self.id).ok_or_else(throttled)?;
            let oldest = state.oldest(largest, self.id).ok_or_else(throttled)?;
            state.turn_away(oldest);
        }
        match state.all.get_mut(&self.id) {
            Some(held) => {
                held.bytes += bytes;
                Ok(())
            }
            None => Err(throttled()),
        }
    }

    /// Nothing more is to come: it is looked at, and gives way no more.
    ///
    /// # Errors
    /// `ThrottlingException`: it had to give way already.
    pub fn whole(&self) -> Result<(), ApiError> {
        let mut state = self.bodies.lock();
        let held = state.all.get_mut(&self.id).ok_or_else(throttled)?;
        held.whole = true;
        Ok(())
    }

    /// Comes to an end when this one has to give way.
    pub async fn gives_way(&self) {
        self.gives_way.notified().await;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.bodies.lock().all.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    fn address(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[test]
    fn what_is_held_is_bounded_and_small_requests_pass() {
        let bodies = Bodies::default();
        let mut flood = Vec::new();
        for n in 0..200_u8 {
            let room = bodies.room(address(n % 50));
            room.grow(MIB - 1).expect("an older one gives way");
            flood.push(room);
        }
        assert!(bodies.lock().held(None) <= BODIES);
        let one = bodies.room(address(100));
        one.grow(64 * 1024).expect("room");
        // It is no victim of those who hold more, and go on.
        for n in 0..200_u8 {
            let room = bodies.room(address(n % 50));
            room.grow(MIB - 1).expect("an older one gives way");
            flood.push(room);
        }
        one.grow(1024).expect("room");
        one.whole().expect("still there");
        drop(flood);
        assert_eq!(bodies.lock().held(None), 65 * 1024);
        drop(one);
        assert!(bodies.lock().all.is_empty());
    }

    #[test]
    fn one_address_holds_so_much_and_no_more() {
        let bodies = Bodies::default();
        let rooms: Vec<Room> = (0..5).map(|_| bodies.room(address(1))).collect();
        for room in &rooms {
            room.grow(MIB).expect("an older one gives way");
        }
        assert_eq!(bodies.lock().held(Some(address(1))), BODIES_OF_ADDRESS);
        assert_eq!(rooms[0].grow(1), Err(throttled()));
        assert_eq!(rooms[0].whole(), Err(throttled()));
        // What has come in whole stays until it is answered.
        rooms[1..].iter().for_each(|r| r.whole().expect("there"));
        assert_eq!(bodies.room(address(1)).grow(1), Err(throttled()));
        assert_eq!(bodies.room(address(2)).grow(1), Ok(()));
    }
}
