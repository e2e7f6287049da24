//! What the pool's lock protects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::connection::Proven;
use super::defaults::Defaults;
use super::fleet::Bound;
use super::generation::{Draining, Generation};
use super::lease::Lease;
use super::owners::Shares;
use super::places::Places;
use super::queue::Queue;
use super::search::Search;
use super::share::Sharing;
use super::slots::{Slot, Slots, Use};
use super::trial::Trial;
use super::vacate::Vacant;
use super::{CheckoutError, Connection, Pool};

pub(super) struct State {
    /// Connections nobody holds; the hottest last.
    pub idle: Vec<Proven>,
    /// Clients that wait. Not empty only while `idle` is empty, or while nothing in it
    /// may be used.
    pub waiters: Queue,
    pub shares: Shares,
    /// A client has waited so long that the reserve may be used.
    pub reserve: bool,
    pub slots: Slots,
    /// The other process that uses the same ceiling, during an upgrade.
    pub sharing: Option<Box<Sharing>>,
    /// The share of the ceiling of all replicas, if there is one.
    pub fleet: Option<Box<Bound>>,
    /// The generation in force.
    pub current: Option<Arc<Generation>>,
    pub draining: Vec<Draining>,
    /// Idle connections of older generations are being replaced.
    pub replacing: bool,
    /// Which version logs in, and whether logins work.
    pub search: Search,
    pub places: Places,
    /// A version that is used before it is AWSCURRENT.
    pub trial: Option<Trial>,
    /// The prober needs a slot and there is none: the next connection that
    /// comes back is closed and its slot handed over.
    pub slot_wanted: Option<oneshot::Sender<Slot>>,
    /// The number of the generation that was adopted last.
    pub generations: u64,
    pub defaults: Defaults,
    /// The time at which a login last failed.
    pub failed: Option<Instant>,
    /// Another attempt is to be made now, because a client waits.
    pub hurry: bool,
    /// The time at which a server was last noticed to have hung up.
    pub hung_up: Option<Instant>,
    /// A database that a client drops, renames or copies.
    pub vacant: Option<Vacant>,
    /// The configuration has no use for the pool; see [`Pool::linger`].
    pub lingering: bool,
    /// How the server is reached may have changed, so that another attempt is due.
    pub reloaded: bool,
    /// The pool lends nothing; see [`Pool::pause`].
    pub paused: bool,
    /// The time whose open connections are replaced; see [`Pool::reconnect`].
    pub reconnect: Option<Instant>,
    /// How often a connection was lent.
    pub assigned: u64,
    pub shut: bool,
}

impl State {
    /// `grace`: how long versions are tried at full pace; `generations`: how many there
    /// have been already.
    pub fn new(grace: Duration, generations: u64) -> Self {
        Self {
            idle: Vec::new(),
            waiters: Queue::default(),
            shares: Shares::default(),
            reserve: false,
            slots: Slots::default(),
            sharing: None,
            fleet: None,
            current: None,
            draining: Vec::new(),
            replacing: false,
            search: Search::new(grace, Instant::now()),
            places: Places::default(),
            trial: None,
            slot_wanted: None,
            generations,
            defaults: Defaults::default(),
            failed: None,
            hurry: false,
            hung_up: None,
            vacant: None,
            lingering: false,
            reloaded: false,
            paused: false,
            reconnect: None,
            assigned: 0,
            shut: false,
        }
    }

    /// Lends a connection that nobody holds.
    pub fn lease(&mut self, pool: &Arc<Pool>, mut proven: Proven) -> Lease {
        self.slots.turn(&mut proven.slot, Use::Leased);
        self.assigned += 1;
        self.defaults.used = true;
        Lease::new(pool.clone(), proven)
    }

    /// Whether a session may change its connection for another one: while logins
    /// fail, whoever holds a connection keeps it.
    pub fn lets_sessions_move(&self) -> bool {
        self.search.is_good() && !self.shut && !self.lingering && !self.paused
    }

    /// Whether the server has hung up on another connection since this one last answered.
    /// A server that goes down closes its connections one after the other.
    pub fn suspects(&self, connection: &Connection) -> bool {
        self.hung_up.is_some_and(|at| connection.answered < at)
    }

    pub fn is_current(&self, generation: &Arc<Generation>) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, generation))
    }

    /// How many clients are still waiting; those who left are forgotten.
    pub fn waiting(&mut self) -> usize {
        self.waiters.forget_gone();
        self.waiters.len()
    }

    /// Sends everybody away who waits, unless they wait for the pool to be resumed.
    pub fn fail_waiters(&mut self, error: &CheckoutError) {
        if self.paused && *error != CheckoutError::Shut {
            return;
        }
        for waiter in self.waiters.drain() {
            let _ = waiter.delivery.send(Err(error.clone()));
        }
    }
}
