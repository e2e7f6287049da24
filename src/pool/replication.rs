//! How often, and by how many at once, a server is asked for a replication connection.
//!
//! Each is a login of its own, which costs a server more than many transactions do. A
//! client that may not replicate, or asks wrongly, and tries again at once must not take
//! everybody else's time. So there is one start at a time for each client and two in a
//! pool, with a limited rate; a refusal that holds for everybody is remembered for a
//! moment; and the server is not asked for a client that was refused often.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::upstream::ConnectError;
use crate::wire::startup::Replication;

/// Starts under way at the same time in a pool.
const IN_POOL: usize = 2;
/// Starts of one client under way at the same time.
const OF_CLIENT: usize = 1;

/// How long a refusal is the answer for everybody who asks the same. It is short, so that
/// a right that was granted is soon noticed.
const REMEMBERED: Duration = Duration::from_secs(3);

/// The number of refusals of one client within [`WINDOW`] after which the server is not asked.
const REFUSALS: usize = 3;
const WINDOW: Duration = Duration::from_secs(5);

/// The number of starts that a client may make at once, before it has one in each `PACE`: this
/// limits also clients that may replicate, and come and go.
const BURST: u32 = 20;
const PACE: Duration = Duration::from_millis(100);

/// The starts of replication in one pool.
pub(super) struct Starts {
    together: Arc<Semaphore>,
    memory: Mutex<Memory>,
}

/// What is remembered of earlier starts.
#[derive(Default)]
struct Memory {
    /// Refusals that hold for everybody, by the kind of replication.
    refusals: HashMap<Option<Replication>, Refusal>,
    /// The askers by the name of their rule: there are as many as the configuration has.
    clients: HashMap<Arc<str>, Asker>,
}

struct Refusal {
    generation: Option<u64>,
    until: Instant,
    error: ConnectError,
}

/// The clients of one rule.
struct Asker {
    turns: Arc<Semaphore>,
    refused: VecDeque<Instant>,
    /// The time at which the client's next start is due. If that is in the past, several are.
    due: Option<Instant>,
}

impl Asker {
    /// Takes the next start; returns how long it has to wait.
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
            together: Arc::new(Semaphore::new(IN_POOL)),
            memory: Mutex::default(),
        }
    }
}

impl Starts {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock()
    }

    /// Waits for a turn; `None` at the end of the pool.
    pub async fn turn(&self, client: &Arc<str>) -> Option<Turn> {
        let turns = self.memory().client(client).turns.clone();
        let own = turns.acquire_owned().await.ok()?;
        // No other start of this client can pass meanwhile, so that one that gives up
        // costs the others no more than one place.
        let wait = self.memory().client(client).pace(Instant::now());
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
        let mut memory = self.memory();
        if let Some(refusal) = memory.refusals.get(&kind)
            && refusal.generation == generation
            && now < refusal.until
        {
            return Some(Known::Refused(refusal.error.clone()));
        }
        let refused = &mut memory.client(client).refused;
        refused.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        (refused.len() >= REFUSALS).then_some(Known::TooOften)
    }

    /// Notes that the server has refused a start.
    pub fn refused(
        &self,
        client: &Arc<str>,
        kind: Option<Replication>,
        generation: u64,
        error: &ConnectError,
        now: Instant,
    ) {
        let mut memory = self.memory();
        let refused = &mut memory.client(client).refused;
        refused.push_back(now);
        while refused.len() > REFUSALS {
            refused.pop_front();
        }
        // The role's rights, or a line of pg_hba.conf, are the same for everybody.
        if matches!(error.sqlstate(), "42501" | "28000") {
            let refusal = Refusal {
                generation: Some(generation),
                until: now + REMEMBERED,
                error: error.clone(),
            };
            memory.refusals.insert(kind, refusal);
        }
    }
}

impl Memory {
    fn client(&mut self, name: &Arc<str>) -> &mut Asker {
        self.clients.entry(name.clone()).or_insert_with(|| Asker {
            turns: Arc::new(Semaphore::new(OF_CLIENT)),
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
        assert!(starts.known(&a, LOGICAL, Some(1), now + WINDOW).is_none());
    }

    #[test]
    fn starts_of_a_client_have_a_pace() {
        let starts = Starts::default();
        let mut memory = starts.memory();
        let client = memory.client(&"a".into());
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
