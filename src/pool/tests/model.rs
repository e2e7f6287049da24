//! Any interleaving of clients that ask, leave, give back, break off, of a
//! server that hangs up, and of versions that are replaced.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::pool::fake::{Setup, setup};
use crate::pool::{CheckoutError, Lease};

#[derive(Debug, Clone)]
enum Step {
    /// A client asks for a connection.
    Ask,
    /// One that waits leaves; it may have been served already.
    Leave(usize),
    /// One gives its connection back, clean.
    Return(usize),
    /// One gives it back with what it left there, also inside a transaction.
    Clean(usize, bool),
    /// One leaves in mid-query: its connection is cancelled and closed.
    Break(usize),
    /// The server closes every connection.
    HangUp,
    /// There is a new version: it is adopted, and the older one drains.
    Rotate,
    /// Everybody gets to do something.
    Breathe,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = any::<usize>;
    let step = prop_oneof![
        8 => Just(Step::Ask),
        2 => who().prop_map(Step::Leave),
        5 => who().prop_map(Step::Return),
        3 => (who(), any::<bool>()).prop_map(|(n, open)| Step::Clean(n, open)),
        2 => who().prop_map(Step::Break),
        1 => Just(Step::HangUp),
        1 => Just(Step::Rotate),
        4 => Just(Step::Breathe),
    ];
    proptest::collection::vec(step, 1..80)
}

type Waiting = JoinHandle<Result<Lease, CheckoutError>>;

struct World {
    s: Setup,
    size: usize,
    waiting: VecDeque<Waiting>,
    held: Vec<Lease>,
    versions: usize,
}

impl World {
    fn take(&mut self, n: usize) -> Option<Lease> {
        (!self.held.is_empty()).then(|| self.held.swap_remove(n % self.held.len()))
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Ask => {
                let pool = self.s.pool.clone();
                let asking = async move { pool.checkout(None).await };
                self.waiting.push_back(tokio::spawn(asking));
            }
            Step::Leave(n) if !self.waiting.is_empty() => {
                let n = n % self.waiting.len();
                self.waiting.remove(n).expect("there").abort();
            }
            Step::Leave(_) => {}
            Step::Return(n) => drop(self.take(n)),
            Step::Clean(n, in_transaction) => {
                if let Some(lease) = self.take(n) {
                    lease.check_in_after_cleaning(in_transaction);
                }
            }
            Step::Break(n) => {
                if let Some(mut lease) = self.take(n) {
                    lease.speaks();
                }
            }
            Step::HangUp => self.s.server.hang_up(),
            Step::Rotate => {
                self.versions += 1;
                let (version, user) =
                    (format!("v{}", self.versions), format!("u{}", self.versions));
                self.s.store.put(&version, &user, self.s.server.port);
            }
            Step::Breathe => tokio::time::sleep(Duration::from_millis(1)).await,
        }
        tokio::task::yield_now().await;
        self.receive().await;
        self.check();
    }

    /// Who was served holds a connection; an error is an answer too.
    async fn receive(&mut self) {
        for _ in 0..self.waiting.len() {
            let Some(waiting) = self.waiting.pop_front() else {
                return;
            };
            if waiting.is_finished() {
                self.held.extend(waiting.await.expect("no panic").ok());
            } else {
                self.waiting.push_back(waiting);
            }
        }
    }

    fn check(&self) {
        let pids: HashSet<i32> = self.held.iter().map(|l| l.backend().pid.0).collect();
        assert_eq!(pids.len(), self.held.len(), "one client a connection");
        assert!(self.held.len() <= self.size);
        let most = self.s.server.most.load(Relaxed);
        assert!(most <= self.size, "{most} connections at once");
    }

    /// Everybody gives back: whoever waits is served, and every slot is there.
    async fn end(mut self) {
        self.held.clear();
        for waiting in std::mem::take(&mut self.waiting) {
            let answer = timeout(Duration::from_secs(20), waiting).await;
            drop(answer.expect("a waiter was lost").expect("no panic"));
        }
        let all = async {
            loop {
                let asking = (0..self.size).map(|_| self.s.pool.checkout(None));
                let leases = join_all(asking).await;
                if leases.iter().all(Result::is_ok) {
                    return leases;
                }
                // Somebody met the server while it hung up.
                drop(leases);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let leases = timeout(Duration::from_secs(20), all).await;
        let leases = leases.expect("a slot was lost");
        let counts = self.s.pool.counts();
        assert_eq!((counts.waiting, counts.active), (0, self.size));
        drop(leases);
        self.check();
    }
}

async fn play(size: usize, steps: Vec<Step>) {
    let s = setup(&format!("pool_size = {size}")).await;
    let mut world = World {
        s,
        size,
        waiting: VecDeque::new(),
        held: Vec::new(),
        versions: 1,
    };
    for step in steps {
        world.step(step).await;
    }
    world.end().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn nobody_shares_nobody_is_lost_and_the_ceiling_holds(
        size in 1..5usize,
        threads in 1..4usize,
        steps in steps(),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async { tokio::spawn(play(size, steps)).await.expect("the laws hold") });
    }
}
