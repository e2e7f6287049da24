//! Those who have connected and are not known yet.
//!
//! Whoever says nothing holds a socket and a task until the deadline; so there
//! are only so many of them, together and from one address. When there is no
//! more room the *oldest* gives way, not the newest: a client that means it is
//! through in milliseconds, also from an address that is being abused.
//!
//! Denials are answered at a limited rate for each address, so that guessing
//! names and filling the log take time. Who waits for a denial counts as not
//! known, and gives way like the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::access::Evidence;
use crate::config::Guard;
use crate::net::Peer;

/// Whom a connection is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    Address(IpAddr),
    /// Of a unix socket.
    User(u32),
    /// A load balancer that has not said yet for whom.
    Proxy,
}

impl Origin {
    pub fn of(evidence: &Evidence) -> Self {
        match evidence.peer {
            Peer::Unix { uid, .. } => Self::User(uid),
            Peer::Tcp(address) => Self::Address(match address.ip() {
                // Whoever has one IPv6 address has the rest of its /64 as well.
                IpAddr::V6(v6) => {
                    let network = u128::from(v6) & !u128::from(u64::MAX);
                    IpAddr::V6(Ipv6Addr::from(network))
                }
                v4 => v4,
            }),
        }
    }
}

/// Addresses whose denials are remembered before those are dropped that are no
/// longer limited.
const REMEMBERED: usize = 10_000;

pub struct Door {
    guard: Guard,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts up: the smallest is the oldest.
    next: u64,
    waiting: BTreeMap<u64, (Origin, Arc<Notify>)>,
    by_origin: HashMap<Origin, BTreeSet<u64>>,
    /// When the next denial is due.
    denials: HashMap<Origin, Instant>,
}

/// Somebody at the door, until it is dropped.
pub struct Knock {
    door: Arc<Door>,
    id: u64,
    gives_way: Arc<Notify>,
}

impl Door {
    pub fn new(guard: Guard) -> Self {
        Self {
            guard,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub fn knock(self: &Arc<Self>, origin: Origin) -> Knock {
        let gives_way = Arc::new(Notify::new());
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.waiting.insert(id, (origin, gives_way.clone()));
        state.by_origin.entry(origin).or_default().insert(id);
        self.make_room(&mut state, origin);
        if state.waiting.len() > self.guard.max_handshakes {
            state.turn_away_oldest();
        }
        drop(state);
        Knock {
            door: self.clone(),
            id,
            gives_way,
        }
    }

    fn make_room(&self, state: &mut State, origin: Origin) {
        let Some(ids) = state.by_origin.get(&origin) else {
            return;
        };
        // Load balancers have many clients, and their connections have names soon.
        if origin != Origin::Proxy
            && ids.len() > self.guard.max_handshakes_per_address
            && let Some(&oldest) = ids.first()
        {
            state.turn_away(oldest);
        }
    }

    /// How long the next denial of this origin has to wait; the place in the
    /// queue is taken by asking.
    fn denial_in(&self, origin: Origin, now: Instant) -> Duration {
        let mut state = self.state();
        let every = Duration::from_secs(1) / self.guard.denials_per_second;
        // As many at once as are allowed in a second.
        let earliest = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let due = match state.denials.get(&origin) {
            Some(due) => earliest.max(*due),
            None => earliest,
        };
        state.denials.insert(origin, due + every);
        if state.denials.len() > REMEMBERED {
            state.denials.retain(|_, due| *due > earliest);
        }
        due.saturating_duration_since(now)
    }

    /// Waits until this origin may be answered another denial.
    pub async fn denial(&self, origin: Origin) {
        tokio::time::sleep(self.denial_in(origin, Instant::now())).await;
    }

    /// Whether this origin may have another denial recorded at once.
    pub fn may_record(&self, origin: Origin) -> bool {
        let now = Instant::now();
        let due = self.state().denials.get(&origin).copied();
        let may = due.is_none_or(|due| due <= now);
        if may {
            self.denial_in(origin, now);
        }
        may
    }
}

impl State {
    fn turn_away_oldest(&mut self) {
        if let Some((&oldest, _)) = self.waiting.first_key_value() {
            self.turn_away(oldest);
        }
    }

    fn turn_away(&mut self, id: u64) {
        if let Some(gives_way) = self.remove(id) {
            gives_way.notify_one();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Arc<Notify>> {
        let (origin, gives_way) = self.waiting.remove(&id)?;
        if let Some(ids) = self.by_origin.get_mut(&origin) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_origin.remove(&origin);
            }
        }
        Some(gives_way)
    }
}

impl Knock {
    /// A load balancer has said whom it speaks for.
    pub fn is_from(&self, origin: Origin) {
        let mut state = self.door.state();
        if let Some(gives_way) = state.remove(self.id) {
            state.waiting.insert(self.id, (origin, gives_way));
            state.by_origin.entry(origin).or_default().insert(self.id);
            self.door.make_room(&mut state, origin);
        }
    }

    /// Comes to an end when this one has to give way to others.
    pub async fn gives_way(&self) {
        self.gives_way.notified().await;
    }
}

impl Drop for Knock {
    fn drop(&mut self) {
        self.door.state().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn door(total: usize, each: usize, denials: u32) -> Arc<Door> {
        Arc::new(Door::new(Guard {
            max_handshakes: total,
            max_handshakes_per_address: each,
            denials_per_second: denials,
        }))
    }

    fn origin(last: u8) -> Origin {
        Origin::Address([10, 0, 0, last].into())
    }

    fn gone(knock: &Knock) -> bool {
        knock.gives_way().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_of_an_address_gives_way_to_the_newest() {
        let door = door(100, 2, 1);
        let first = door.knock(origin(1));
        let other = door.knock(origin(2));
        let second = door.knock(origin(1));
        assert!(!gone(&first));
        let third = door.knock(origin(1));
        assert!(gone(&first) && !gone(&second) && !gone(&third) && !gone(&other));
        drop(second);
        let fourth = door.knock(origin(1));
        assert!(!gone(&third) && !gone(&fourth));
    }

    #[test]
    fn and_the_oldest_of_all_where_there_are_too_many() {
        let door = door(3, 3, 1);
        let knocks: Vec<Knock> = (1..=5).map(|n| door.knock(origin(n))).collect();
        let gone: Vec<bool> = knocks.iter().map(gone).collect();
        assert_eq!(gone, [true, true, false, false, false]);
        drop(knocks);
        assert!(door.state().waiting.is_empty() && door.state().by_origin.is_empty());
    }

    #[test]
    fn a_load_balancer_is_counted_for_its_clients() {
        let door = door(100, 1, 1);
        let (a, b) = (door.knock(Origin::Proxy), door.knock(Origin::Proxy));
        assert!(!gone(&a) && !gone(&b));
        a.is_from(origin(1));
        b.is_from(origin(2));
        let c = door.knock(Origin::Proxy);
        c.is_from(origin(1));
        assert!(gone(&a) && !gone(&b) && !gone(&c));
    }

    #[test]
    fn denials_have_a_rate_for_each_address() {
        let door = door(1, 1, 10);
        let now = Instant::now() + Duration::from_secs(60);
        let waits = |now| -> Vec<u128> {
            (0..14)
                .map(|_| door.denial_in(origin(1), now).as_millis())
                .collect()
        };
        // As many at once as fit into a second, then one by one.
        let first = waits(now);
        assert_eq!(first[..11], [0; 11]);
        assert_eq!(first[11..], [100, 200, 300]);
        assert!(door.denial_in(origin(2), now).is_zero());
        assert_eq!(waits(now)[0], 400);
        // After a while without one they are forgiven.
        assert_eq!(waits(now + Duration::from_secs(60)), first);
    }

    #[test]
    fn an_ipv6_network_is_one_origin() {
        let of = |text: &str| {
            Origin::of(&Evidence::new(Peer::Tcp(
                format!("[{text}]:1").parse().unwrap(),
            )))
        };
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
