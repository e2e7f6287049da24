//! What the pool's lock protects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::oneshot;

use super::CheckoutError;
use super::connection::Proven;
use super::generation::{Draining, Generation};
use super::queue::{Queue, Shares};
use crate::secret::{Standing, VersionId};
use crate::upstream::ConnectError;

/// Whether logins work.
#[derive(Clone)]
pub(super) enum Health {
    /// The generation in force logged in the last time it was tried.
    Good,
    /// The server could not be reached, or refused for a reason that has
    /// nothing to do with the credential. One attempt at a time, with backoff.
    Down {
        message: Arc<str>,
        /// What clients are told.
        cause: CheckoutError,
        /// A server that is starting up is waited for, but not for ever.
        waits_until: Instant,
    },
    /// No version is known that logs in: at the start, or since the one in
    /// force was refused. One probe at a time; everybody else waits for it.
    Seeking { since: Instant, message: Arc<str> },
}

pub(super) struct State {
    /// Connections nobody holds; the hottest last.
    pub idle: Vec<Proven>,
    /// Not empty only while `idle` is empty, or while nothing in it may be used.
    pub waiters: Queue,
    pub shares: Shares,
    /// A client has waited so long that the reserve may be used.
    pub reserve: bool,
    /// Slots taken: every connection there is, from before its login until
    /// Postgres has let go of it. Never above `pool_size` (but for a moment,
    /// and for what was left behind on the way to another of several hosts).
    pub open: usize,
    /// Of these: logins that were given up; see `abandoned`.
    pub abandoned: usize,
    /// Of these: logging in.
    pub opening: usize,
    /// Of these: saying goodbye.
    pub closing: usize,
    /// Of these: held by clients.
    pub leased: usize,
    pub current: Option<Arc<Generation>>,
    pub draining: Vec<Draining>,
    /// Idle connections of older generations are being replaced.
    pub replacing: bool,
    pub health: Health,
    /// The prober needs a slot and there is none: the next connection that
    /// comes back is closed and its slot handed over.
    pub slot_wanted: Option<oneshot::Sender<()>>,
    pub generations: u64,
    /// Versions that were tried in vain since one last worked, each once, and
    /// before that: what was tried before the one in force.
    pub tried: Vec<Tried>,
    pub tried_before: Vec<Tried>,
    /// Which version last logged in at which host, and the host that last
    /// refused one: after a failover the other host may have another password,
    /// as a replica that lags behind has.
    pub worked: BTreeMap<Arc<str>, VersionId>,
    pub refused_at: Option<Arc<str>>,
    /// What is in force for new logins at each host (ALTER ROLE … SET, ALTER
    /// DATABASE … SET, what it reports), as a digest; and a number that counts
    /// up when that of any host changes.
    pub defaults: BTreeMap<Arc<str>, u64>,
    pub epoch: u64,
    /// The defaults may have changed: they are to be looked at soon.
    pub recheck: bool,
    /// Keeps no idle connection; see [`Pool::linger`](super::Pool::linger).
    pub lingering: bool,
    pub shut: bool,
}

/// A version that was tried and does not log in.
#[derive(Clone)]
pub struct Tried {
    pub version: VersionId,
    pub standing: Standing,
    pub why: Arc<str>,
    pub at: SystemTime,
    /// Nobody answered, and there is no reason to expect that to pass.
    pub unreachable: bool,
}

impl State {
    pub fn note_tried(&mut self, tried: Tried) {
        self.tried.retain(|t| t.version != tried.version);
        self.tried.push(tried);
    }

    /// While logins fail, whoever holds a connection keeps it.
    pub fn lets_sessions_move(&self) -> bool {
        matches!(self.health, Health::Good) && !self.shut && !self.lingering
    }

    pub fn note_refusal(&mut self, error: &ConnectError) {
        if let ConnectError::Refused { address, .. } = error
            && error.is_authentication()
        {
            self.refused_at = Some(address.as_str().into());
        }
    }

    /// Secrets that lead to ever new hosts must not fill the memory.
    pub fn note_success(&mut self, place: Arc<str>, version: &VersionId) {
        const HOSTS: usize = 64;
        if self.worked.len() >= HOSTS && !self.worked.contains_key(&place) {
            self.worked.clear();
        }
        self.worked.insert(place, version.clone());
    }

    pub fn new() -> Self {
        Self {
            idle: Vec::new(),
            waiters: Queue::default(),
            shares: Shares::default(),
            reserve: false,
            open: 0,
            abandoned: 0,
            opening: 0,
            closing: 0,
            leased: 0,
            current: None,
            draining: Vec::new(),
            replacing: false,
            health: Health::Seeking {
                since: Instant::now(),
                message: "no login yet".into(),
            },
            slot_wanted: None,
            generations: 0,
            tried: Vec::new(),
            tried_before: Vec::new(),
            worked: BTreeMap::new(),
            refused_at: None,
            defaults: BTreeMap::new(),
            epoch: 0,
            recheck: false,
            lingering: false,
            shut: false,
        }
    }

    pub fn is_current(&self, generation: &Arc<Generation>) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, generation))
    }

    /// Clients that are still waiting; those who left are forgotten.
    pub fn waiting(&mut self) -> usize {
        self.waiters.forget_gone();
        self.waiters.len()
    }

    pub fn fail_waiters(&mut self, error: &CheckoutError) {
        for waiter in self.waiters.drain() {
            let _ = waiter.delivery.send(Err(error.clone()));
        }
    }
}
