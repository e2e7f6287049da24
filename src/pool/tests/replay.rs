//! The pool itself, taken through traces of the model: clients come, leave, give back and break
//! off, the server hangs up, and there are new versions. After each step the pool comes to rest
//! in a state that the model allows.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::Ordering::Relaxed;

use tokio::task::JoinHandle;

use super::explore::Model;
use super::protocol::{Action, Client, Doing, GONE, Generation, Protocol, Replacer, State};
use crate::pool::fake::{Setup, setup, until};
use crate::pool::{CheckoutError, Lease};

/// What is seen of a pool at rest.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    holding: BTreeSet<Client>,
    waiting: BTreeSet<Client>,
    idle: usize,
    in_force: Generation,
}

impl Seen {
    fn of(s: &State) -> Self {
        let clients = s.slots.iter().filter_map(|slot| match slot.doing {
            Doing::Leased(client) => Some(client),
            _ => None,
        });
        Self {
            holding: clients.collect(),
            waiting: s.waiting.iter().copied().filter(|c| *c != GONE).collect(),
            idle: s.count(|d| d == Doing::Idle),
            in_force: s.in_force,
        }
    }
}

impl Protocol {
    /// Whether nothing happens by itself any more, but for a prober that finds the pool full.
    fn rests(&self, s: &State) -> bool {
        let stays = |d: Doing| matches!(d, Doing::Idle | Doing::Leased(_));
        let full = s.leased() == self.pool_size;
        s.slots.iter().all(|slot| stays(slot.doing))
            && s.slots
                .iter()
                .all(|slot| slot.alive || slot.doing != Doing::Idle)
            && s.replacer == Replacer::Rests
            && (s.current == s.in_force || full)
    }

    /// The states in which a pool may come to rest after an action.
    fn after(&self, states: &HashSet<State>, action: Action) -> HashSet<State> {
        let may = |s: &&State| self.actions(s).contains(&action);
        let mut next: Vec<State> = states
            .iter()
            .filter(may)
            .map(|s| self.next(s, &action))
            .collect();
        let mut known: HashSet<State> = next.iter().cloned().collect();
        while let Some(s) = next.pop() {
            for own in self.actions(&s).iter().filter(|action| action.is_own()) {
                let after = self.next(&s, own);
                if known.insert(after.clone()) {
                    next.push(after);
                }
            }
        }
        known.retain(|s| self.rests(s));
        known
    }
}

struct Replay {
    s: Setup,
    models: [Protocol; 2],
    /// What the pool may be in, as either model has it.
    may_be: [HashSet<State>; 2],
    holding: BTreeMap<Client, Lease>,
    waiting: BTreeMap<Client, JoinHandle<Result<Lease, CheckoutError>>>,
    version: Generation,
    trace: Vec<Action>,
}

impl Replay {
    async fn begin(pool_size: usize, clients: Client) -> Self {
        let s = setup(&format!("pool_size = {pool_size}")).await;
        // In its first second a new generation replaces one connection at a time.
        let models = [1, 4].map(|at_once| Protocol {
            pool_size,
            clients,
            versions: 3,
            at_once,
            stalls: false,
            leavers: 4,
        });
        let may_be = [0, 1].map(|n: usize| HashSet::from([models[n].first()]));
        Self {
            s,
            models,
            may_be,
            holding: BTreeMap::new(),
            waiting: BTreeMap::new(),
            version: 1,
            trace: Vec::new(),
        }
    }

    fn choices(&self) -> Vec<Action> {
        let mut may = vec![Action::HangUp];
        if self.version < 3 {
            may.push(Action::NewVersion);
        }
        for client in 0..self.models[0].clients {
            if self.holding.contains_key(&client) {
                may.extend([Action::GiveBack(client), Action::Discard(client)]);
            } else if self.waiting.contains_key(&client) {
                may.push(Action::Leave(client));
            } else {
                may.extend([Action::TakeOrWait(client); 2]);
            }
        }
        may
    }

    async fn make(&mut self, action: Action) {
        self.trace.push(action);
        match action {
            Action::TakeOrWait(client) => {
                let pool = self.s.pool.clone();
                let asks = tokio::spawn(async move { pool.checkout(None).await });
                self.waiting.insert(client, asks);
            }
            Action::Leave(client) => {
                if let Some(waits) = self.waiting.remove(&client) {
                    waits.abort();
                    let _ = waits.await;
                }
            }
            Action::GiveBack(client) => drop(self.holding.remove(&client)),
            Action::Discard(client) => {
                if let Some(mut lease) = self.holding.remove(&client) {
                    lease.speaks();
                }
            }
            Action::HangUp => {
                self.s.server.hang_up();
                let server = self.s.server.clone();
                until("it has hung up", || server.here() == 0).await;
            }
            Action::NewVersion => {
                self.version += 1;
                let (version, port) = (self.version.to_string(), self.s.server.port);
                self.s.store.put(&version, "u1", port);
            }
            other => unreachable!("{other:?} is the pool's own"),
        }
        self.compare(action).await;
    }

    async fn compare(&mut self, action: Action) {
        let allowed = [0, 1].map(|n| self.models[n].after(&self.may_be[n], action));
        assert!(allowed.iter().any(|a| !a.is_empty()), "{:?}", self.trace);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut before = None;
        loop {
            let seen = self.see().await;
            if let Some(seen) = &seen {
                let fits = |s: &State| Seen::of(s) == *seen;
                if before.as_ref() == Some(seen) && allowed.iter().flatten().any(fits) {
                    self.may_be = allowed.map(|mut a| {
                        a.retain(fits);
                        a
                    });
                    return;
                }
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{:?} leads to {seen:?}, and not to one of {:?}",
                self.trace,
                allowed.iter().flatten().map(Seen::of).collect::<Vec<_>>()
            );
            before = seen;
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// What is seen of the pool, if it is at rest.
    async fn see(&mut self) -> Option<Seen> {
        let done = self.waiting.iter().filter(|(_, waits)| waits.is_finished());
        let done: Vec<Client> = done.map(|(client, _)| *client).collect();
        for client in done {
            let served = self.waiting.remove(&client)?.await.expect("no panic");
            self.holding.insert(client, served.expect("a connection"));
        }
        let mut state = self.s.pool.state();
        let slots = &state.slots;
        let under_way = slots.opening() + slots.closing() + slots.abandoned();
        let leased = slots.leased();
        let idle = state.idle.len();
        let alive = state
            .idle
            .iter_mut()
            .all(|connection| connection.is_alive());
        let in_force = state.current.as_ref()?.credential.version.as_str();
        let in_force = in_force.parse().unwrap_or(1); // the first one is called "one"
        let full = leased == self.models[0].pool_size;
        let rests = under_way == 0
            && alive
            && !state.replacing
            && leased == self.holding.len()
            && (in_force == self.version || full);
        rests.then(|| Seen {
            holding: self.holding.keys().copied().collect(),
            waiting: self.waiting.keys().copied().collect(),
            idle,
            in_force,
        })
    }
}

/// So many traces of this length, the same ones each time.
async fn replay(traces: u64, steps: usize) {
    for seed in 0..traces {
        let mut dice = seed;
        let mut roll = |sides: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005);
            dice = dice.wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as usize % sides
        };
        let mut replay = Replay::begin(1 + roll(2), 3).await;
        for _ in 0..steps {
            let choices = replay.choices();
            replay.make(choices[roll(choices.len())]).await;
        }
        let most = replay.s.server.most.load(Relaxed);
        assert!(
            most <= replay.models[0].pool_size,
            "{most}: {:?}",
            replay.trace
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_goes_where_the_model_goes() {
    replay(12, 12).await;
}

/// `make chaos`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn the_pool_goes_where_the_model_goes_at_length() {
    replay(150, 25).await;
}
