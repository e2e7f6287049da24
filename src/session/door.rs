//! Those who have connected and are not known yet.
//!
//! Whoever says nothing holds a socket and a task until the deadline; so there
//! are only so many of them, together and from one address. When there is no
//! more room somebody gives way: of those who have been denied and are only still
//! listening the one that was here first, or else the *oldest*, not the newest: a client
//! that means it is through in milliseconds, also from an address that is being abused.
//! Where all of them together are too many, those of the address with the most go first.
//!
//! A denial is answered at once, however many there were. What is limited is what they
//! write into the log; see `ledger`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::access::Evidence;
use crate::net::Peer;
use crate::session::Guard;

mod ledger;

use ledger::Ledger;
pub use ledger::Summary;

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

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(IpAddr::V6(network)) => write!(f, "{network}/64"),
            Self::Address(address) => address.fmt(f),
            Self::User(uid) => write!(f, "unix:uid={uid}"),
            Self::Proxy => f.write_str("load balancer"),
        }
    }
}

pub struct Door {
    guard: Guard,
    state: Mutex<State>,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct State {
    /// Counts up: the smallest is the oldest.
    next: u64,
    here: BTreeMap<u64, Place>,
    by_origin: HashMap<Origin, Crowd>,
    /// The largest crowd last, and of two that are as large the one whose first has been
    /// here longer.
    by_size: BTreeSet<(usize, Reverse<Turn>, Origin)>,
}

struct Place {
    origin: Origin,
    turn: Turn,
    gives_way: Arc<Notify>,
}

/// In which order those of a crowd give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    /// It may be let in yet; `false` goes first.
    undecided: bool,
    id: u64,
}

type Crowd = BTreeSet<Turn>;

/// Somebody at the door, until it is dropped.
pub struct Knock {
    door: Arc<Door>,
    id: u64,
    gives_way: Arc<Notify>,
    denied: AtomicBool,
}

impl Door {
    pub fn new(guard: Guard) -> Self {
        let ledger = Ledger::new(guard.denials_per_second);
        Self {
            guard,
            state: Mutex::default(),
            ledger: Mutex::new(ledger),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub fn knock(self: &Arc<Self>, origin: Origin) -> Knock {
        let gives_way = Arc::new(Notify::new());
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        let turn = Turn {
            undecided: true,
            id,
        };
        state.insert(Place {
            origin,
            turn,
            gives_way: gives_way.clone(),
        });
        self.make_room(&mut state, origin);
        if state.here.len() > self.guard.max_handshakes
            && let Some(&(_, Reverse(first), _)) = state.by_size.last()
        {
            state.turn_away(first.id);
        }
        drop(state);
        Knock {
            door: self.clone(),
            id,
            gives_way,
            denied: AtomicBool::new(false),
        }
    }

    fn make_room(&self, state: &mut State, origin: Origin) {
        let Some(crowd) = state.by_origin.get(&origin) else {
            return;
        };
        // Load balancers have many clients, and their connections have names soon.
        if origin != Origin::Proxy
            && crowd.len() > self.guard.max_handshakes_per_address
            && let Some(&first) = crowd.first()
        {
            state.turn_away(first.id);
        }
    }

    /// A denial: whether it has a record of its own, or is told of in a summary.
    pub fn note_denial(&self, origin: Origin, reason: &'static str) -> bool {
        let mut ledger = self.ledger.lock();
        ledger.note(origin, reason, Instant::now())
    }

    /// The denials that had no record of their own, since the last time.
    pub fn summaries(&self) -> Vec<Summary> {
        let mut ledger = self.ledger.lock();
        ledger.summaries()
    }
}

impl State {
    fn insert(&mut self, place: Place) {
        let (origin, turn) = (place.origin, place.turn);
        self.here.insert(turn.id, place);
        self.change(origin, |crowd| crowd.insert(turn));
    }

    fn remove(&mut self, id: u64) -> Option<Place> {
        let place = self.here.remove(&id)?;
        self.change(place.origin, |crowd| crowd.remove(&place.turn));
        Some(place)
    }

    /// Changes a crowd, and where it stands among the others.
    fn change(&mut self, origin: Origin, how: impl FnOnce(&mut Crowd) -> bool) {
        let crowd = self.by_origin.entry(origin).or_default();
        let stands = |crowd: &Crowd| Some((crowd.len(), Reverse(*crowd.first()?), origin));
        if let Some(before) = stands(crowd) {
            self.by_size.remove(&before);
        }
        how(crowd);
        match stands(crowd) {
            Some(now) => drop(self.by_size.insert(now)),
            None => drop(self.by_origin.remove(&origin)),
        }
    }

    fn turn_away(&mut self, id: u64) {
        if let Some(place) = self.remove(id) {
            place.gives_way.notify_one();
        }
    }
}

impl Knock {
    /// A load balancer has said whom it speaks for.
    pub fn is_from(&self, origin: Origin) {
        let mut state = self.door.state();
        if let Some(place) = state.remove(self.id) {
            state.insert(Place { origin, ..place });
            self.door.make_room(&mut state, origin);
        }
    }

    /// It is not let in, and that has been recorded: from here on it is the first to
    /// give way.
    pub fn is_denied(&self) {
        self.denied.store(true, Ordering::Relaxed);
        let mut state = self.door.state();
        if let Some(mut place) = state.remove(self.id) {
            place.turn.undecided = false;
            state.insert(place);
        }
    }

    /// Whether [`is_denied`](Self::is_denied) was said of it.
    pub fn was_denied(&self) -> bool {
        self.denied.load(Ordering::Relaxed)
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
        assert!(door.state().here.is_empty() && door.state().by_size.is_empty());
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
    fn who_was_denied_gives_way_before_who_may_be_let_in() {
        let door = door(100, 2, 1);
        let honest = door.knock(origin(1));
        let denied = door.knock(origin(1));
        denied.is_denied();
        let third = door.knock(origin(1));
        assert!(gone(&denied) && !gone(&honest) && !gone(&third));
    }

    #[test]
    fn the_largest_crowd_gives_way_first() {
        let door = door(6, 6, 1);
        let honest: Vec<Knock> = (1..=3).map(|n| door.knock(origin(n))).collect();
        let flood: Vec<Knock> = (0..1000).map(|_| door.knock(origin(9))).collect();
        assert!(!honest.iter().any(gone));
        assert_eq!(flood.iter().filter(|k| !gone(k)).count(), 3);
        let newcomer = door.knock(origin(4));
        assert!(!gone(&newcomer) && !honest.iter().any(gone));
        drop((honest, flood, newcomer));
        let state = door.state();
        assert!(state.here.is_empty() && state.by_origin.is_empty() && state.by_size.is_empty());
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
        assert_eq!(of("2001:db8::1").to_string(), "2001:db8::/64");
    }
}
