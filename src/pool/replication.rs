//! How often, and by how many at once, a server is asked for a replication connection.
//!
//! Each is a login of its own, which costs a server more than many transactions do. A
//! client that may not replicate, or asks wrongly, and tries again at once must not cost
//! everybody else's time: one start at a time for each client and two in a pool, at a pace,
//! a refusal that holds for everybody is remembered for a moment, and for who was refused
//! often the server is not asked.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::upstream::ConnectError;
use crate::wire::startup::Replication;

/// Starts under way at the same time, in a pool and of one client.
const AT_ONCE: usize = 2;
const OF_ONE: usize = 1;

/// How long a refusal is the answer for everybody who asks the same: as long as it takes
/// to notice that a right was granted.
const REMEMBERED: Duration = Duration::from_secs(3);

/// So many refusals of one client within [`WHILE`]; then the server is not asked.
const REFUSALS: usize = 3;
const WHILE: Duration = Duration::from_secs(5);

/// So many starts of one client at once, and then one in a tenth of a second: also who
/// may replicate, and comes and goes.
const BURST: u32 = 20;
const PACE: Duration = Duration::from_millis(100);

pub(super) struct Starts {
    together: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By kind, and of which generation that was.
    refusals: HashMap<Option<Replication>, Refusal>,
    /// By the name of the rule; there are as many as the configuration has.
    clients: HashMap<Arc<str>, Client>,
}

struct Refusal {
    generation: Option<u64>,
    until: Instant,
    error: ConnectError,
}

struct Client {
    turns: Arc<Semaphore>,
    refused: VecDeque<Instant>,
    /// When its next start is due; in the past, more than one is.
    due: Option<Instant>,
}

impl Client {
    /// How long the next start waits, which is taken by asking.
    fn pace(&mut self, now: Instant) -> Duration {
        let earliest = now.checked_sub(PACE * (BURST - 1)).unwrap_or(now);
        let due = self.due.map_or(earliest, |due| due.max(earliest));
        self.due = Some(due + PACE);
        due.saturating_duration_since(now)
    }
}

/// The right to ask the server, until it is dropped.
pub(super) struct Turn {
    _own: OwnedSemaphorePermit,
    _shared: OwnedSemaphorePermit,
}

/// Why the server is not asked.
pub(super) enum Known {
    Refused(ConnectError),
    TooOften,
}

impl Default for Starts {
    fn default() -> Self {
        Self {
            together: Arc::new(Semaphore::new(AT_ONCE)),
            state: Mutex::default(),
        }
    }
}

impl Starts {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Waits for a turn; `None` at the end of the pool.
    pub async fn turn(&self, client: &Arc<str>) -> Option<Turn> {
        let turns = self.state().client(client).turns.clone();
        let own = turns.acquire_owned().await.ok()?;
        // Nobody else of this client comes past meanwhile, so that whoever gives up
        // leaves no debt beyond one.
        let wait = self.state().client(client).pace(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let shared = self.together.clone().acquire_owned().await.ok()?;
        Some(Turn {
            _own: own,
            _shared: shared,
        })
    }

    /// What is known without asking the server.
    pub fn known(
        &self,
        client: &Arc<str>,
        kind: Option<Replication>,
        generation: Option<u64>,
        now: Instant,
    ) -> Option<Known> {
        let mut state = self.state();
        if let Some(refusal) = state.refusals.get(&kind)
            && refusal.generation == generation
            && now < refusal.until
        {
            return Some(Known::Refused(refusal.error.clone()));
        }
        let refused = &mut state.client(client).refused;
        refused.retain(|at| now.saturating_duration_since(*at) < WHILE);
        (refused.len() >= REFUSALS).then_some(Known::TooOften)
    }

    /// The server has refused a start.
    pub fn refused(
        &self,
        client: &Arc<str>,
        kind: Option<Replication>,
        generation: u64,
        error: &ConnectError,
        now: Instant,
    ) {
        let mut state = self.state();
        let refused = &mut state.client(client).refused;
        refused.push_back(now);
        while refused.len() > REFUSALS {
            refused.pop_front();
        }
        // The role's rights, or a line of pg_hba.conf: the same for everybody.
        if matches!(error.sqlstate(), "42501" | "28000") {
            let refusal = Refusal {
                generation: Some(generation),
                until: now + REMEMBERED,
                error: error.clone(),
            };
            state.refusals.insert(kind, refusal);
        }
    }
}

impl State {
    fn client(&mut self, name: &Arc<str>) -> &mut Client {
        self.clients.entry(name.clone()).or_insert_with(|| Client {
            turns: Arc::new(Semaphore::new(OF_ONE)),
            refused: VecDeque::new(),
            due: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(sqlstate: &str) -> ConnectError {
        ConnectError::Refused {
            address: "h:1".into(),
            sqlstate: sqlstate.into(),
            message: "no".into(),
        }
    }

    const LOGICAL: Option<Replication> = Some(Replication::Logical);
    const PHYSICAL: Option<Replication> = Some(Replication::Physical);

    #[test]
    fn a_refusal_of_everybody_is_remembered_for_a_moment() {
        let (starts, now) = (Starts::default(), Instant::now());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let known = |client, kind, generation, after| {
            starts.known(client, kind, Some(generation), now + after)
        };
        let zero = Duration::ZERO;
        assert!(known(&a, LOGICAL, 1, zero).is_none());
        starts.refused(&a, LOGICAL, 1, &error("42501"), now);
        for client in [&a, &b] {
            let refused = known(client, LOGICAL, 1, REMEMBERED / 2);
            assert!(matches!(refused, Some(Known::Refused(_))));
        }
        assert!(known(&b, PHYSICAL, 1, zero).is_none(), "another question");
        assert!(known(&b, LOGICAL, 2, zero).is_none(), "another login");
        assert!(known(&b, LOGICAL, 1, REMEMBERED).is_none());
    }

    #[test]
    fn a_client_that_is_refused_often_waits_and_nobody_else() {
        let (starts, now) = (Starts::default(), Instant::now());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        for _ in 0..REFUSALS {
            assert!(starts.known(&a, LOGICAL, Some(1), now).is_none());
            // Its own parameters were wrong: no answer for others.
            starts.refused(&a, LOGICAL, 1, &error("22023"), now);
        }
        let often = starts.known(&a, PHYSICAL, Some(1), now);
        assert!(matches!(often, Some(Known::TooOften)));
        assert!(starts.known(&b, LOGICAL, Some(1), now).is_none());
        assert!(starts.known(&a, LOGICAL, Some(1), now + WHILE).is_none());
    }

    #[test]
    fn starts_of_a_client_have_a_pace() {
        let starts = Starts::default();
        let mut state = starts.state();
        let client = state.client(&"a".into());
        let now = Instant::now() + Duration::from_secs(60);
        let waits: Vec<Duration> = (0..BURST + 2).map(|_| client.pace(now)).collect();
        assert!(waits[..BURST as usize].iter().all(Duration::is_zero));
        assert_eq!(waits[BURST as usize..], [PACE, PACE * 2]);
        let later = now + Duration::from_secs(60);
        assert_eq!(client.pace(later), Duration::ZERO);
    }

    #[tokio::test]
    async fn one_of_a_client_and_two_of_a_pool_at_once() {
        use futures_util::FutureExt;
        let starts = Starts::default();
        let names: Vec<Arc<str>> = ["a", "b", "c"].map(Into::into).into();
        let first = starts.turn(&names[0]).await.expect("a turn");
        assert!(starts.turn(&names[0]).now_or_never().is_none());
        let second = starts.turn(&names[1]).await.expect("a turn");
        assert!(starts.turn(&names[2]).now_or_never().is_none());
        drop((first, second));
        assert!(starts.turn(&names[0]).now_or_never().is_some());
    }
}
