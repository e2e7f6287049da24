//! How long a client may take: for a query, between two statements of a
//! transaction, between two transactions.
//!
//! No timer runs for a message. A session publishes what it waits for with one store, and a
//! sweep twice a second compares that with what it saw before: what has not changed for
//! longer than its limit is overdue. A limit is therefore kept to within a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::activity::{Limits, Observed, Phase, QueryMark};
use super::handle::Handle;
use super::pin::Pin;
use super::signal::Signal;
use super::{Sessions, unix_time};

/// How long a query may go on after it was cancelled: a server that is stuck
/// writing to a client that does not read takes no notice.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one sweep remembers for the next.
#[derive(Default)]
pub struct Sweep {
    /// The sessions of the last sweep by their ids.
    seen: HashMap<u64, Seen>,
    /// The time of the last sweep.
    looked: Option<Instant>,
}

/// The activity in which a session was found.
struct Seen {
    observed: Observed,
    since: Instant,
    /// The sweep has had the session's query cancelled.
    cancelled: bool,
    /// The session is still there in the sweep that is under way.
    present: bool,
}

/// A limit that a session has reached.
pub enum Overdue {
    /// The session's query is to be cancelled; the session may go on.
    Query(Arc<Handle>, QueryMark),
    /// The session was told to end.
    Ended(Arc<Handle>, Signal),
}

impl Sweep {
    /// Looks at every session that has limits. A session that has reached one is told to
    /// end; where its query has to be cancelled first, that is left to the caller.
    pub fn look(&mut self, sessions: &Sessions) -> Vec<Overdue> {
        let now = unix_time();
        sessions.clock.set(now);
        let sessions = sessions.all();
        for session in &sessions {
            session.activity.touch(now);
        }
        let now = Instant::now();
        let span = self.looked.replace(now).map(|before| now - before);
        measure(&sessions, span.unwrap_or_default());
        self.look_at(&sessions, now)
    }

    fn look_at(&mut self, sessions: &[Arc<Handle>], now: Instant) -> Vec<Overdue> {
        for seen in self.seen.values_mut() {
            seen.present = false;
        }
        let limited = sessions.iter().filter_map(|h| Some((h, h.limits()?)));
        let overdue = limited
            .filter_map(|(handle, limits)| self.look_at_one(handle, limits, now))
            .collect();
        self.seen.retain(|_, seen| seen.present);
        overdue
    }

    fn look_at_one(
        &mut self,
        handle: &Arc<Handle>,
        limits: Limits,
        now: Instant,
    ) -> Option<Overdue> {
        let observed = handle.activity.observe();
        let seen = self.seen.entry(handle.id).or_insert(Seen {
            observed,
            since: now,
            cancelled: false,
            present: true,
        });
        seen.present = true;
        if seen.observed != observed {
            (seen.observed, seen.since, seen.cancelled) = (observed, now, false);
            return None;
        }
        let limit = limits.on(observed.phase())? * observed.running();
        // A replication stream is one query that never ends.
        if handle.pinned() == Some(Pin::Replication) {
            return None;
        }
        let passed = now.saturating_duration_since(seen.since);
        if passed < limit {
            return None;
        }
        let signal = match observed.phase() {
            Phase::Query if !seen.cancelled => {
                seen.cancelled = true;
                return Some(Overdue::Query(handle.clone(), QueryMark::new(observed)));
            }
            Phase::Query if passed < limit + PATIENCE => return None,
            Phase::Query => Signal::QueryTimeout,
            Phase::Transaction => Signal::IdleInTransaction,
            Phase::Idle | Phase::Elsewhere => Signal::IdleClient,
        };
        let told = handle.signal(signal);
        told.then(|| Overdue::Ended(handle.clone(), signal))
    }
}

/// Adds up how long transactions and queries take: what a session is at now counts as what it
/// was at since the last look. What is shorter than that is found now and then, and counts for
/// more when it is: the sum is right, and no message asks for the time.
fn measure(sessions: &[Arc<Handle>], span: Duration) {
    let span = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    for session in sessions {
        let stats = &session.pool.stats;
        match session.activity.observe().phase() {
            Phase::Query => {
                stats.at_work.fetch_add(span, Relaxed);
                stats.in_transaction.fetch_add(span, Relaxed);
            }
            Phase::Transaction => {
                stats.in_transaction.fetch_add(span, Relaxed);
            }
            Phase::Idle | Phase::Elsewhere => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;
    use crate::pool::Database;
    use crate::pool::fake::setup;

    const LIMITS: &str = "query_timeout = \"10s\"\nidle_transaction_timeout = \"5s\"\n\
        client_idle_timeout = \"60s\"";

    async fn handle(keys: &str) -> Arc<Handle> {
        let id = keys.len() as u64;
        Arc::new(Handle::for_tests(setup(keys).await.pool, id))
    }

    #[tokio::test]
    async fn times_are_those_of_what_sessions_are_at() {
        let (worker, idler) = (handle(LIMITS).await, handle("").await);
        let sessions = [worker.clone(), idler.clone()];
        let half = Duration::from_millis(500);
        for (phase, other) in [
            (Phase::Query, Phase::Idle),
            (Phase::Query, Phase::Elsewhere),
            (Phase::Transaction, Phase::Idle),
        ] {
            worker.activity.set(phase, 1, 1);
            idler.activity.set(other, 1, 1);
            measure(&sessions, half);
        }
        let times = |h: &Handle| {
            let stats = &h.pool.stats;
            (
                stats.in_transaction.load(Relaxed),
                stats.at_work.load(Relaxed),
            )
        };
        assert_eq!(times(&worker), (1_500_000, 1_000_000));
        assert_eq!(times(&idler), (0, 0));
    }

    #[tokio::test]
    async fn what_stays_the_same_is_over_when_its_limit_is() {
        let began = Instant::now();
        let at = |s: u64| began + Duration::from_secs(s);
        let mut sweep = Sweep::default();
        let (h, other) = (handle(LIMITS).await, handle("").await);
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
    #[tokio::test]
    async fn each_statement_of_a_batch_has_its_time() {
        let began = Instant::now();
        let mut sweep = Sweep::default();
        let sessions = [handle(LIMITS).await];
        sessions[0].activity.set(Phase::Query, 1, 3);
        let mut at = |s: u64| sweep.look_at(&sessions, began + Duration::from_secs(s));
        assert!(at(0).is_empty() && at(29).is_empty());
        assert!(matches!(at(30)[..], [Overdue::Query(..)]));
    }

    #[tokio::test]
    async fn each_phase_has_its_own_limit() {
        let began = Instant::now();
        for (phase, seconds, signal) in [
            (Phase::Transaction, 5, Signal::IdleInTransaction),
            (Phase::Idle, 60, Signal::IdleClient),
        ] {
            let mut sweep = Sweep::default();
            let sessions = [handle(LIMITS).await];
            sessions[0].activity.set(phase, 7, 1);
            let mut at = |s: u64| sweep.look_at(&sessions, began + Duration::from_secs(s));
            assert!(at(0).is_empty());
            assert!(at(seconds - 1).is_empty());
            let overdue = at(seconds);
            assert!(matches!(overdue[..], [Overdue::Ended(_, s)] if s == signal));
        }
    }

    /// What was published while there were limits before is long over.
    #[tokio::test]
    async fn limits_of_a_reload_hold_from_the_next_message_on() {
        let setup = setup("").await;
        let with = |limit: u64| {
            let mut database = Database::clone(&setup.pool.database());
            database.query_timeout = Duration::from_secs(limit);
            setup.pool.reconfigure(&Arc::new(database));
        };
        let h = Arc::new(Handle::for_tests(setup.pool.clone(), 1));
        h.activity.set(Phase::Query, 1, 1);
        let began = Instant::now();
        let mut sweep = Sweep::default();
        let mut at = |s: u64| sweep.look_at(slice::from_ref(&h), began + Duration::from_secs(s));
        assert!(at(0).is_empty() && !h.is_limited());
        with(10);
        assert!(at(1).is_empty() && h.is_limited());
        assert!(at(100).is_empty());
        h.activity.set(Phase::Query, 1, 1);
        assert!(at(101).is_empty());
        assert!(matches!(at(111)[..], [Overdue::Query(..)]));
        with(0);
        assert!(at(112).is_empty() && !h.is_limited());
    }

    #[tokio::test]
    async fn sessions_that_left_are_forgotten() {
        let mut sweep = Sweep::default();
        sweep.look_at(&[handle(LIMITS).await], Instant::now());
        assert_eq!(sweep.seen.len(), 1);
        sweep.look_at(&[], Instant::now());
        assert!(sweep.seen.is_empty());
    }
}
