//! How much of request bodies may be in memory before anybody has checked their
//! signatures: a signature can only be checked with the whole body. When there is
//! no more room, the oldest incomplete body of the address that holds most gives
//! way, and its sender is told to try again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ApiError;
use super::holders::{Holders, Id};

/// Bytes of all bodies together.
pub const BODIES: usize = 16 * 1024 * 1024;
/// Bytes of the bodies of one address.
pub const BODIES_OF_ADDRESS: usize = 4 * 1024 * 1024;

#[derive(Default, Clone)]
pub struct Bodies(Arc<Mutex<Holders<Body>>>);

struct Body {
    network: IpAddr,
    bytes: usize,
    /// All of it has arrived.
    whole: bool,
}

/// Room for one body, given back when it is dropped.
pub struct Room {
    bodies: Bodies,
    id: Id,
    network: IpAddr,
    gives_way: Arc<Notify>,
}

/// The answer to a request that has to give way. SDKs try again by themselves.
pub fn throttled() -> ApiError {
    ApiError::new(
        "ThrottlingException",
        "Too much is being sent to the store at a time; try again.",
    )
}

impl Bodies {
    /// Room for a body of this address; it has no bytes yet.
    pub fn room(&self, network: IpAddr) -> Room {
        let (id, gives_way) = self.0.lock().add(Body {
            network,
            bytes: 0,
            whole: false,
        });
        Room {
            bodies: self.clone(),
            id,
            network,
            gives_way,
        }
    }
}

impl Holders<Body> {
    /// Bytes of one address, or of all.
    fn held(&self, of: Option<IpAddr>) -> usize {
        let bodies = self.iter().map(|(_, body)| body);
        bodies
            .filter(|body| of.is_none_or(|of| of == body.network))
            .map(|body| body.bytes)
            .sum()
    }

    /// Bodies that can give way to `to`: those that are not whole.
    fn victims(&self, to: Id) -> impl Iterator<Item = (Id, &Body)> {
        self.iter()
            .filter(move |(id, body)| *id != to && !body.whole && body.bytes > 0)
    }

    fn oldest_victim(&self, of: IpAddr, to: Id) -> Option<Id> {
        let mut victims = self.victims(to);
        victims
            .find(|(_, body)| body.network == of)
            .map(|(id, _)| id)
    }

    /// The address whose incomplete bodies hold most.
    fn largest(&self, to: Id) -> Option<IpAddr> {
        let mut sums: HashMap<IpAddr, usize> = HashMap::new();
        for (_, body) in self.victims(to) {
            *sums.entry(body.network).or_default() += body.bytes;
        }
        let most = sums.into_iter().max_by_key(|(_, bytes)| *bytes);
        most.map(|(network, _)| network)
    }
}

impl Room {
    /// Takes room for so many more bytes.
    ///
    /// # Errors
    /// `ThrottlingException`: there is none and nobody can give way, or this body
    /// had to give way itself.
    pub fn grow(&self, bytes: usize) -> Result<(), ApiError> {
        let mut bodies = self.bodies.0.lock();
        // A body that had to give way takes nothing from others any more.
        if bodies.get(self.id).is_none() {
            return Err(throttled());
        }
        while bodies.held(Some(self.network)) + bytes > BODIES_OF_ADDRESS {
            let oldest = bodies.oldest_victim(self.network, self.id);
            bodies.turn_away(oldest.ok_or_else(throttled)?);
        }
        while bodies.held(None) + bytes > BODIES {
            let largest = bodies.largest(self.id).ok_or_else(throttled)?;
            let oldest = bodies.oldest_victim(largest, self.id);
            bodies.turn_away(oldest.ok_or_else(throttled)?);
        }
        let body = bodies.get_mut(self.id).ok_or_else(throttled)?;
        body.bytes += bytes;
        Ok(())
    }

    /// Marks the body as complete: it is about to be checked, and gives way no
    /// more.
    ///
    /// # Errors
    /// `ThrottlingException`: it had to give way already.
    pub fn whole(&self) -> Result<(), ApiError> {
        let mut bodies = self.bodies.0.lock();
        bodies.get_mut(self.id).ok_or_else(throttled)?.whole = true;
        Ok(())
    }

    /// Returns when this body has to give way.
    pub async fn gives_way(&self) {
        self.gives_way.notified().await;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.bodies.0.lock().remove(self.id);
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
        assert!(bodies.0.lock().held(None) <= BODIES);
        let one = bodies.room(address(100));
        one.grow(64 * 1024).expect("room");
        // Those who hold more and go on do not take its room.
        for n in 0..200_u8 {
            let room = bodies.room(address(n % 50));
            room.grow(MIB - 1).expect("an older one gives way");
            flood.push(room);
        }
        one.grow(1024).expect("room");
        one.whole().expect("still there");
        drop(flood);
        assert_eq!(bodies.0.lock().held(None), 65 * 1024);
        drop(one);
        assert!(bodies.0.lock().len() == 0);
    }

    #[test]
    fn one_address_holds_so_much_and_no_more() {
        let bodies = Bodies::default();
        let rooms: Vec<Room> = (0..5).map(|_| bodies.room(address(1))).collect();
        for room in &rooms {
            room.grow(MIB).expect("an older one gives way");
        }
        assert_eq!(bodies.0.lock().held(Some(address(1))), BODIES_OF_ADDRESS);
        assert_eq!(rooms[0].grow(1), Err(throttled()));
        assert_eq!(rooms[0].whole(), Err(throttled()));
        // A complete body stays until it is answered.
        rooms[1..].iter().for_each(|r| r.whole().expect("there"));
        assert_eq!(bodies.room(address(1)).grow(1), Err(throttled()));
        assert_eq!(bodies.room(address(2)).grow(1), Ok(()));
    }
}
