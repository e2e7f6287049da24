//! How many connections may be in their handshake at once.
//!
//! A client that says nothing holds a socket and a task until the deadline, so the number of
//! such connections is limited, in all and for each address. When there is no more room one
//! is evicted: of those that were denied and are only still listening the oldest, or else
//! the *oldest* that is silent, not the newest, because a client that means it is through in
//! milliseconds, also from an address that is being abused.
//!
//! An application that opens hundreds of connections at once means it as well: a connection
//! whose start-up packet is here is not counted for its address any more, and a silent one has
//! [`GRACE`] before the number of its address matters. Where there are too many in all, neither
//! helps, and the address with the most connections loses one.
//!
//! A denial is answered at once, however many there were; `denials` limits what they write
//! into the log.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::origin::Origin;

/// A connection may be silent for so long, however many its address has.
const GRACE: Duration = Duration::from_secs(2);

/// The connections whose client is not identified yet.
pub struct Limiter {
    max_total: AtomicUsize,
    max_per_address: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts up: the smallest id is the oldest.
    next_id: u64,
    entries: BTreeMap<u64, Entry>,
    by_origin: HashMap<Origin, Crowd>,
    /// The largest crowd is the last; of two that are as large, the one whose first
    /// connection has been here longer.
    by_size: BTreeSet<(usize, Reverse<Rank>, Origin)>,
}

#[derive(Clone)]
struct Entry {
    origin: Origin,
    rank: Rank,
    since: Instant,
    evicted: Arc<Notify>,
}

/// The order in which the connections of a crowd are evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    standing: Standing,
    id: u64,
}

/// How far a client has come. The first of these are evicted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// It is not let in, and only listens.
    Denied,
    /// Something is awaited of it.
    Silent,
    /// All that was asked of it is here.
    Heard,
}

/// The connections of one origin.
#[derive(Default)]
struct Crowd {
    members: BTreeSet<Rank>,
    heard: usize,
}

/// A connection that the limiter counts, until this is dropped.
pub struct Ticket {
    limiter: Arc<Limiter>,
    id: u64,
    evicted: Arc<Notify>,
    denied: AtomicBool,
    /// The connection was evicted for the number of its address when its packet was here.
    kept: AtomicBool,
}

impl Limiter {
    /// `max_total`: connections of everybody together; `max_per_address`: of one origin.
    pub fn new(max_total: usize, max_per_address: usize) -> Self {
        Self {
            max_total: AtomicUsize::new(max_total),
            max_per_address: AtomicUsize::new(max_per_address),
            state: Mutex::default(),
        }
    }

    /// Other limits, from the next connection on.
    pub fn set(&self, max_total: usize, max_per_address: usize) {
        self.max_total.store(max_total, Ordering::Relaxed);
        self.max_per_address
            .store(max_per_address, Ordering::Relaxed);
    }

    /// Counts a connection, and evicts others where there is no more room.
    pub fn enter(self: &Arc<Self>, origin: Origin) -> Ticket {
        self.enter_at(origin, Instant::now())
    }

    fn enter_at(self: &Arc<Self>, origin: Origin, now: Instant) -> Ticket {
        let evicted = Arc::new(Notify::new());
        let mut state = self.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        let standing = Standing::Silent;
        state.insert(Entry {
            origin,
            rank: Rank { standing, id },
            since: now,
            evicted: evicted.clone(),
        });
        self.make_room(&mut state, origin, now);
        if state.entries.len() > self.max_total.load(Ordering::Relaxed)
            && let Some(&(_, Reverse(first), _)) = state.by_size.last()
        {
            state.evict(first.id);
        }
        drop(state);
        Ticket {
            limiter: self.clone(),
            id,
            evicted,
            denied: AtomicBool::new(false),
            kept: AtomicBool::new(false),
        }
    }

    /// Evicts connections of `origin` while it has too many.
    fn make_room(&self, state: &mut State, origin: Origin, now: Instant) {
        // A load balancer has many clients, and says soon whom each connection is for.
        if origin == Origin::Proxy {
            return;
        }
        while let Some(crowd) = state.by_origin.get(&origin)
            && crowd.members.len() - crowd.heard > self.max_per_address.load(Ordering::Relaxed)
            && let Some(first) = crowd.members.first()
            && let Some(entry) = state.entries.get(&first.id)
            && (first.standing == Standing::Denied || now.duration_since(entry.since) >= GRACE)
        {
            let id = first.id;
            state.evict(id);
        }
    }
}

impl Crowd {
    fn add(&mut self, rank: Rank) {
        self.members.insert(rank);
        self.heard += usize::from(rank.standing == Standing::Heard);
    }

    fn remove(&mut self, rank: Rank) {
        self.members.remove(&rank);
        self.heard -= usize::from(rank.standing == Standing::Heard);
    }
}

impl State {
    fn insert(&mut self, entry: Entry) {
        let (origin, rank) = (entry.origin, entry.rank);
        self.entries.insert(rank.id, entry);
        self.change(origin, |crowd| crowd.add(rank));
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.change(entry.origin, |crowd| crowd.remove(entry.rank));
        Some(entry)
    }

    /// Changes a crowd, and its place among the others.
    fn change(&mut self, origin: Origin, how: impl FnOnce(&mut Crowd)) {
        let crowd = self.by_origin.entry(origin).or_default();
        let place = |crowd: &Crowd| {
            let first = Reverse(*crowd.members.first()?);
            Some((crowd.members.len(), first, origin))
        };
        if let Some(before) = place(crowd) {
            self.by_size.remove(&before);
        }
        how(crowd);
        match place(crowd) {
            Some(now) => drop(self.by_size.insert(now)),
            None => drop(self.by_origin.remove(&origin)),
        }
    }

    fn evict(&mut self, id: u64) {
        if let Some(entry) = self.remove(id) {
            entry.evicted.notify_one();
        }
    }
}

impl Ticket {
    /// Counts the connection for another origin: a load balancer has said whom it speaks
    /// for.
    pub fn set_origin(&self, origin: Origin) {
        let mut state = self.limiter.state.lock();
        if let Some(entry) = state.remove(self.id) {
            state.insert(Entry { origin, ..entry });
            self.limiter.make_room(&mut state, origin, Instant::now());
        }
    }

    /// Notes that all that was asked of the client is here. A connection that gave way to others
    /// of its address at this very moment stays, if there is room.
    pub fn mark_heard(&self, origin: Origin) {
        if self.mark(Standing::Heard) {
            return;
        }
        let mut state = self.limiter.state.lock();
        if state.entries.len() < self.limiter.max_total.load(Ordering::Relaxed) {
            let standing = Standing::Heard;
            self.kept.store(true, Ordering::Relaxed);
            state.insert(Entry {
                origin,
                rank: Rank {
                    standing,
                    id: self.id,
                },
                since: Instant::now(),
                evicted: self.evicted.clone(),
            });
        }
    }

    /// Notes that something more is asked of the client.
    pub fn mark_asked(&self) {
        self.mark(Standing::Silent);
    }

    /// Notes that the client is not let in, and that this has been recorded: its connection
    /// is now the first to be evicted.
    pub fn mark_denied(&self) {
        self.denied.store(true, Ordering::Relaxed);
        self.mark(Standing::Denied);
    }

    /// `false`: the connection has been evicted.
    fn mark(&self, standing: Standing) -> bool {
        let mut state = self.limiter.state.lock();
        let Some(mut entry) = state.remove(self.id) else {
            return false;
        };
        entry.rank.standing = standing;
        // What was asked only now is not awaited for long yet.
        entry.since = Instant::now();
        state.insert(entry);
        true
    }

    /// Whether [`mark_denied`](Self::mark_denied) was called.
    pub fn was_denied(&self) -> bool {
        self.denied.load(Ordering::Relaxed)
    }

    /// Resolves when the connection has to give way to others.
    pub async fn evicted(&self) {
        loop {
            self.evicted.notified().await;
            if !self.kept.swap(false, Ordering::Relaxed) {
                return;
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.limiter.state.lock().remove(self.id);
    }
}

#[cfg(test)]
mod tests;
