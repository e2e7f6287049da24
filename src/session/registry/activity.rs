//! What a session waits for at this moment, as it publishes it for the sweep.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use super::handle::Handle;
use crate::pool::Database;

/// The time limits of a database; `None` where there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) struct Limits {
    pub(super) query: Option<Duration>,
    pub(super) in_transaction: Option<Duration>,
    pub(super) idle: Option<Duration>,
}

impl Limits {
    /// `None` where the database sets no limit at all.
    pub(super) fn of(database: &Database) -> Option<Self> {
        let set = |limit: Duration| (!limit.is_zero()).then_some(limit);
        let limits = Self {
            query: set(database.query_timeout),
            in_transaction: set(database.idle_transaction_timeout),
            idle: set(database.client_idle_timeout),
        };
        let any = limits.query.or(limits.in_transaction).or(limits.idle);
        any.map(|_| limits)
    }

    /// How long a session may stay in a phase.
    pub(super) fn on(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Elsewhere => None,
            Phase::Idle => self.idle,
            Phase::Query => self.query,
            Phase::Transaction => self.in_transaction,
        }
    }
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Something with a limit of its own: the handshake, a server connection.
    Elsewhere = 0,
    /// The client, outside a transaction.
    Idle = 1,
    /// The server.
    Query = 2,
    /// The client, inside a transaction.
    Transaction = 3,
}

/// The activity that a session has published, in one word: bits 0 and 1 are the phase, bits
/// 2 to 11 the number of statements that run before the server has to answer, and the rest
/// counts the queries sent and answered before, which tells apart two activities that look
/// alike.
#[derive(Default)]
pub(in crate::session) struct Activity {
    now: AtomicU64,
    /// What the sweep found last, and since when (in milliseconds of Unix time).
    seen: AtomicU64,
    since: AtomicU64,
    /// The one whose query was cancelled because it took too long.
    overdue: AtomicU64,
}

/// The most statements of one batch that are counted: more of them get no more time.
const MOST_RUNNING: u64 = 1023;

impl Activity {
    /// Publishes what the session waits for.
    pub fn set(&self, phase: Phase, progress: u64, running: usize) {
        let running = (running as u64).min(MOST_RUNNING);
        let word = progress << 12 | running << 2 | phase as u64;
        self.now.store(word, Relaxed);
    }

    /// Notes that the query that runs now is cancelled because it takes too long.
    pub(super) fn note_overdue(&self, observed: Observed) {
        self.overdue.store(observed.0, Relaxed);
    }

    /// Whether the query that runs now was cancelled because it takes too long.
    pub fn is_overdue(&self) -> bool {
        let overdue = self.overdue.load(Relaxed);
        overdue != 0 && overdue == self.now.load(Relaxed)
    }

    pub(super) fn observe(&self) -> Observed {
        Observed(self.now.load(Relaxed))
    }

    /// Notes when the activity has changed. The sweep does that, so that no message has to ask
    /// for the time.
    pub(super) fn touch(&self, now: u64) {
        let word = self.now.load(Relaxed);
        if self.seen.swap(word, Relaxed) != word || self.since.load(Relaxed) == 0 {
            self.since.store(now, Relaxed);
        }
    }

    /// The time since which the activity has been as it is, within half a second; `None` before the
    /// first sweep.
    pub(super) fn since(&self) -> Option<SystemTime> {
        let since = self.since.load(Relaxed);
        (since > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_millis(since))
    }
}

/// The activity of a session at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observed(u64);

impl Observed {
    pub fn phase(self) -> Phase {
        match self.0 & 3 {
            0 => Phase::Elsewhere,
            1 => Phase::Idle,
            2 => Phase::Query,
            _ => Phase::Transaction,
        }
    }

    /// How many statements run, at least one.
    pub fn running(self) -> u32 {
        ((self.0 >> 2 & MOST_RUNNING) as u32).max(1)
    }
}

/// A query that was found running for too long.
pub struct QueryMark(Observed);

impl QueryMark {
    pub(super) fn new(observed: Observed) -> Self {
        Self(observed)
    }

    /// Whether the session still runs that query; it knows then why it is cancelled.
    pub(super) fn cancels(&self, handle: &Handle) -> bool {
        let is_one = self.is_of(handle);
        if is_one {
            handle.activity.note_overdue(self.0);
        }
        is_one
    }

    /// Whether the session still runs that query.
    pub(super) fn is_of(&self, handle: &Handle) -> bool {
        handle.activity.observe() == self.0
    }
}
