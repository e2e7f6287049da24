//! What the clients count, and how long their transactions took.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many errors are kept with their text.
const ERRORS_KEPT: usize = 5;

pub struct Tally {
    pub clock: Instant,
    /// The demo is over: no new transaction.
    over: AtomicBool,
    transactions: AtomicU64,
    connections: AtomicU64,
    /// Transfers committed as far as the clients know; the ledger must agree.
    transfers: AtomicU64,
    errors: AtomicU64,
    first_errors: Mutex<Vec<String>>,
    samples: Mutex<Vec<Sample>>,
}

/// One transaction: when it ended, and how long it took, seen by its client.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    took: Duration,
}

/// The median and the worst one in a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    pub p50: Duration,
    pub p99: Duration,
    pub count: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub transactions: u64,
    pub connections: u64,
    pub transfers: u64,
    pub errors: u64,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            clock: Instant::now(),
            over: AtomicBool::new(false),
            transactions: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            transfers: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            first_errors: Mutex::default(),
            samples: Mutex::default(),
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    pub fn end(&self) {
        self.over.store(true, Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    pub fn connected(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub fn transferred(&self, entries: u64) {
        self.transfers.fetch_add(entries, Relaxed);
    }

    /// Counts a transaction that its client keeps open for a while: its duration
    /// says nothing.
    pub fn transaction(&self) {
        self.transactions.fetch_add(1, Relaxed);
    }

    pub fn timed_transaction(&self, began: Instant) {
        self.transaction();
        let sample = Sample {
            at: self.elapsed(),
            took: began.elapsed(),
        };
        lock(&self.samples).push(sample);
    }

    pub fn error(&self, who: &str, what: &str) {
        self.errors.fetch_add(1, Relaxed);
        let mut kept = lock(&self.first_errors);
        if kept.len() < ERRORS_KEPT {
            let at = self.elapsed().as_secs_f64();
            kept.push(format!("{at:.1} s  {who}: {what}"));
        }
    }

    pub fn first_errors(&self) -> Vec<String> {
        lock(&self.first_errors).clone()
    }

    pub fn totals(&self) -> Totals {
        Totals {
            transactions: self.transactions.load(Relaxed),
            connections: self.connections.load(Relaxed),
            transfers: self.transfers.load(Relaxed),
            errors: self.errors.load(Relaxed),
        }
    }

    /// The latency of transactions that ended within half a second of one of the
    /// `moments`, and that of all others.
    pub fn latency_around(&self, moments: &[Duration]) -> (Option<Latency>, Option<Latency>) {
        const HALF: Duration = Duration::from_millis(500);
        let (near, quiet): (Vec<_>, Vec<_>) = lock(&self.samples)
            .iter()
            .partition(|s| moments.iter().any(|m| s.at.abs_diff(*m) <= HALF));
        (latency(near), latency(quiet))
    }
}

fn latency(samples: Vec<Sample>) -> Option<Latency> {
    let mut took: Vec<Duration> = samples.into_iter().map(|s| s.took).collect();
    took.sort_unstable();
    // By nearest rank: the smallest value that so many in a hundred do not exceed.
    let rank = |percent: usize| took.get((took.len() * percent).div_ceil(100).max(1) - 1);
    Some(Latency {
        p50: *rank(50)?,
        p99: *rank(99)?,
        count: took.len(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> parking_lot::MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let samples = |range: std::ops::RangeInclusive<u64>| {
            range
                .rev()
                .map(|n| Sample {
                    at: ms(0),
                    took: ms(n),
                })
                .collect::<Vec<_>>()
        };
        let hundred = latency(samples(1..=100)).unwrap();
        assert_eq!((hundred.p50, hundred.p99), (ms(50), ms(99)));
        let one = latency(samples(7..=7)).unwrap();
        assert_eq!((one.p50, one.p99, one.count), (ms(7), ms(7), 1));
        assert_eq!(latency(Vec::new()), None);
    }

    #[test]
    fn what_ends_near_a_moment_is_told_apart() {
        let tally = Tally::new();
        for at in [400, 600, 1400, 1600, 9000] {
            let took = ms(at / 100);
            lock(&tally.samples).push(Sample { at: ms(at), took });
        }
        let (near, quiet) = tally.latency_around(&[ms(1000)]);
        assert_eq!(near.unwrap().count, 2);
        assert_eq!(quiet.unwrap().p99, ms(90));
        let (near, quiet) = tally.latency_around(&[]);
        assert_eq!(near, None);
        assert_eq!(quiet.unwrap().count, 5);
    }

    #[test]
    fn every_error_counts_and_the_first_few_are_kept() {
        let tally = Tally::new();
        for n in 0..20 {
            tally.error("orders-api", &format!("failure {n}"));
        }
        assert_eq!(tally.totals().errors, 20);
        let kept = tally.first_errors();
        assert_eq!(kept.len(), ERRORS_KEPT);
        assert!(kept[0].ends_with("orders-api: failure 0"), "{}", kept[0]);
    }
}
