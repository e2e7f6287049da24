//! How long a client may take: for a query, between two statements of a
//! transaction, between two transactions.
//!
//! No timer runs for a message. A session leaves word of what it is doing when
//! it comes to wait, which is one store, and a sweep twice a second compares it
//! with what it saw before: what has stayed the same for longer than its limit
//! is over. A limit is therefore kept to within a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::context::{Handle, Sessions, Signal};
use crate::pool::Database;

/// How long a query may go on after it was cancelled: a server that is stuck
/// writing to a client that does not read takes no notice.
const PATIENCE: Duration = Duration::from_secs(5);

/// `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    query: Option<Duration>,
    in_transaction: Option<Duration>,
    idle: Option<Duration>,
}

impl Limits {
    /// `None` where the database sets none at all.
    pub fn of(database: &Database) -> Option<Self> {
        let set = |limit: Duration| (!limit.is_zero()).then_some(limit);
        let limits = Self {
            query: set(database.query_timeout),
            in_transaction: set(database.idle_transaction_timeout),
            idle: set(database.client_idle_timeout),
        };
        let any = limits.query.or(limits.in_transaction).or(limits.idle);
        any.map(|_| limits)
    }

    fn on(&self, phase: Phase) -> Option<Duration> {
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
pub(super) enum Phase {
    /// Something with a limit of its own: the handshake, a server connection.
    Elsewhere = 0,
    /// The client, outside a transaction.
    Idle = 1,
    /// The server.
    Query = 2,
    /// The client, inside a transaction.
    Transaction = 3,
}

/// The phase, how many statements run before the server has to answer, and how
/// many were sent and answered before: two that look alike are told apart.
#[derive(Default)]
pub(super) struct Activity(AtomicU64);

/// More statements of one batch than this have no more time than so many.
const MOST_RUNNING: u64 = 1023;

impl Activity {
    pub fn set(&self, phase: Phase, progress: u64, running: usize) {
        let running = (running as u64).min(MOST_RUNNING);
        self.0
            .store(progress << 12 | running << 2 | phase as u64, Relaxed);
    }

    fn word(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

fn running(word: u64) -> u32 {
    // Ten bits, and at least one.
    ((word >> 2 & MOST_RUNNING) as u32).max(1)
}

fn phase(word: u64) -> Phase {
    match word & 3 {
        0 => Phase::Elsewhere,
        1 => Phase::Idle,
        2 => Phase::Query,
        _ => Phase::Transaction,
    }
}

/// What one sweep leaves for the next.
#[derive(Default)]
pub struct Sweep {
    /// By the session's id.
    seen: HashMap<u64, Seen>,
}

struct Seen {
    word: u64,
    since: Instant,
    cancelled: bool,
    /// In the sweep that is under way.
    fresh: bool,
}

/// A limit that a session has reached.
pub enum Overdue {
    /// Its query is to be cancelled; it may go on.
    Query(Arc<Handle>, QueryMark),
    /// It was told to end.
    Ended(Arc<Handle>, Signal),
}

/// Which query it was.
pub struct QueryMark(u64);

impl QueryMark {
    /// Whether the session is still at it.
    pub(super) fn is_of(&self, handle: &Handle) -> bool {
        handle.activity.word() == self.0
    }
}

impl Sweep {
    /// Looks at every session that has limits; who reached one is told to end,
    /// or returned to have its query cancelled.
    pub fn look(&mut self, sessions: &Sessions) -> Vec<Overdue> {
        self.look_at(&sessions.all(), Instant::now())
    }

    fn look_at(&mut self, sessions: &[Arc<Handle>], now: Instant) -> Vec<Overdue> {
        let mut overdue = Vec::new();
        for seen in self.seen.values_mut() {
            seen.fresh = false;
        }
        for handle in sessions {
            let Some(limits) = handle.limits else {
                continue;
            };
            let word = handle.activity.word();
            let seen = self.seen.entry(handle.id).or_insert(Seen {
                word,
                since: now,
                cancelled: false,
                fresh: true,
            });
            seen.fresh = true;
            if seen.word != word {
                (seen.word, seen.since, seen.cancelled) = (word, now, false);
                continue;
            }
            let phase = phase(word);
            // A replication stream is one query that never ends.
            let Some(limit) = limits
                .on(phase)
                .filter(|_| handle.pinned() != Some("replication"))
            else {
                continue;
            };
            let limit = limit * running(word);
            let passed = now.saturating_duration_since(seen.since);
            if passed < limit {
                continue;
            }
            let signal = match phase {
                Phase::Query if !seen.cancelled => {
                    seen.cancelled = true;
                    overdue.push(Overdue::Query(handle.clone(), QueryMark(word)));
                    continue;
                }
                Phase::Query if passed < limit + PATIENCE => continue,
                Phase::Query => Signal::QueryTimeout,
                Phase::Transaction => Signal::IdleInTransaction,
                Phase::Idle | Phase::Elsewhere => Signal::IdleClient,
            };
            if handle.signal(signal) {
                overdue.push(Overdue::Ended(handle.clone(), signal));
            }
        }
        self.seen.retain(|_, seen| seen.fresh);
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(limits: Option<Limits>) -> Arc<Handle> {
        Arc::new(Handle::for_tests(limits))
    }

    const LIMITS: Limits = Limits {
        query: Some(Duration::from_secs(10)),
        in_transaction: Some(Duration::from_secs(5)),
        idle: Some(Duration::from_secs(60)),
    };

    #[test]
    fn what_stays_the_same_is_over_when_its_limit_is() {
        let began = Instant::now();
        let at = |s: u64| began + Duration::from_secs(s);
        let mut sweep = Sweep::default();
        let (h, other) = (handle(Some(LIMITS)), handle(None));
        let sessions = [h.clone(), other.clone()];
        h.activity.set(Phase::Query, 1, 1);
        other.activity.set(Phase::Query, 1, 1);
        assert!(sweep.look_at(&sessions, at(0)).is_empty());
        assert!(sweep.look_at(&sessions, at(9)).is_empty());
        // Another query, which looks the same.
        h.activity.set(Phase::Query, 2, 1);
        assert!(sweep.look_at(&sessions, at(11)).is_empty());
        assert!(sweep.look_at(&sessions, at(20)).is_empty());
        let overdue = sweep.look_at(&sessions, at(21));
        assert!(matches!(&overdue[..], [Overdue::Query(_, mark)] if mark.is_of(&h)));
        // The cancel is sent once; a query that goes on ends its session.
        assert!(sweep.look_at(&sessions, at(22)).is_empty());
        let overdue = sweep.look_at(&sessions, at(26));
        assert!(matches!(
            overdue[..],
            [Overdue::Ended(_, Signal::QueryTimeout)]
        ));
        assert!(sweep.look_at(&sessions, at(27)).is_empty(), "told once");
    }

    /// The server says nothing before it has done all of them.
    #[test]
    fn each_statement_of_a_batch_has_its_time() {
        let began = Instant::now();
        let mut sweep = Sweep::default();
        let sessions = [handle(Some(LIMITS))];
        sessions[0].activity.set(Phase::Query, 1, 3);
        let mut at = |s: u64| sweep.look_at(&sessions, began + Duration::from_secs(s));
        assert!(at(0).is_empty() && at(29).is_empty());
        assert!(matches!(at(30)[..], [Overdue::Query(..)]));
    }

    #[test]
    fn each_phase_has_its_own_limit() {
        let began = Instant::now();
        for (phase, seconds, signal) in [
            (Phase::Transaction, 5, Signal::IdleInTransaction),
            (Phase::Idle, 60, Signal::IdleClient),
        ] {
            let mut sweep = Sweep::default();
            let sessions = [handle(Some(LIMITS))];
            sessions[0].activity.set(phase, 7, 1);
            let mut at = |s: u64| sweep.look_at(&sessions, began + Duration::from_secs(s));
            assert!(at(0).is_empty());
            assert!(at(seconds - 1).is_empty());
            let overdue = at(seconds);
            assert!(matches!(overdue[..], [Overdue::Ended(_, s)] if s == signal));
        }
    }

    #[test]
    fn sessions_that_left_are_forgotten() {
        let mut sweep = Sweep::default();
        sweep.look_at(&[handle(Some(LIMITS))], Instant::now());
        assert_eq!(sweep.seen.len(), 1);
        sweep.look_at(&[], Instant::now());
        assert!(sweep.seen.is_empty());
    }
}
