//! What databases do in a second, on average over a minute.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use crate::admin::Operations;
use crate::pool::Pool;

/// PgBouncer's `stats_period`.
const PERIOD: Duration = Duration::from_secs(60);

/// What is counted of a database. Times are in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    pub assignments: u64,
    pub transactions: u64,
    pub queries: u64,
    pub received: u64,
    pub sent: u64,
    pub in_transaction: u64,
    pub at_work: u64,
    pub waited: u64,
}

impl Counted {
    fn of(pool: &Pool) -> Self {
        let stats = &pool.stats;
        Self {
            assignments: pool.counts().assigned,
            transactions: stats.transactions.load(Relaxed),
            queries: stats.queries.load(Relaxed),
            received: stats.received.load(Relaxed),
            sent: stats.sent.load(Relaxed),
            in_transaction: stats.in_transaction.load(Relaxed),
            at_work: stats.at_work.load(Relaxed),
            waited: stats.waited.load(Relaxed),
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.assignments += other.assignments;
        self.transactions += other.transactions;
        self.queries += other.queries;
        self.received += other.received;
        self.sent += other.sent;
        self.in_transaction += other.in_transaction;
        self.at_work += other.at_work;
        self.waited += other.waited;
    }

    /// What has come since, for each second; of the times, what each transaction, query and
    /// assignment took.
    fn per_second(&self, before: &Self, span: Duration) -> Self {
        let micros = span.as_micros().max(1);
        let rate = |now: u64, before: u64| {
            let more = u128::from(now.saturating_sub(before));
            u64::try_from(more * 1_000_000 / micros).unwrap_or(u64::MAX)
        };
        let each = |time: u64, before: u64, count: u64, earlier: u64| {
            let time = time.saturating_sub(before);
            time.checked_div(count.saturating_sub(earlier)).unwrap_or(0)
        };
        Self {
            assignments: rate(self.assignments, before.assignments),
            transactions: rate(self.transactions, before.transactions),
            queries: rate(self.queries, before.queries),
            received: rate(self.received, before.received),
            sent: rate(self.sent, before.sent),
            in_transaction: each(
                self.in_transaction,
                before.in_transaction,
                self.transactions,
                before.transactions,
            ),
            at_work: each(self.at_work, before.at_work, self.queries, before.queries),
            waited: each(
                self.waited,
                before.waited,
                self.assignments,
                before.assignments,
            ),
        }
    }
}

/// By the name of the database.
pub type OfEach = BTreeMap<Arc<str>, Counted>;

/// All that was counted so far.
pub fn totals(pools: &[Arc<Pool>]) -> OfEach {
    let mut totals = OfEach::new();
    for pool in pools {
        let name = pool.name.clone();
        totals.entry(name).or_default().add(&Counted::of(pool));
    }
    totals
}

struct Sample {
    at: Instant,
    counted: OfEach,
}

/// The samples of the last two minutes.
pub struct Averages(Mutex<[Sample; 2]>);

impl Default for Averages {
    fn default() -> Self {
        let sample = || Sample {
            at: Instant::now(),
            counted: OfEach::new(),
        };
        Self(Mutex::new([sample(), sample()]))
    }
}

impl Averages {
    /// Takes samples until the proxy is gone.
    pub async fn run(self: Arc<Self>, proxy: Weak<dyn Operations>) {
        let mut tick = interval(PERIOD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let Some(proxy) = proxy.upgrade() else { return };
            self.take(totals(&proxy.pools()), Instant::now());
        }
    }

    fn take(&self, counted: OfEach, at: Instant) {
        let mut samples = self.0.lock();
        samples.swap(0, 1);
        samples[1] = Sample { at, counted };
    }

    /// The averages since the sample before the last: over one to two minutes.
    pub fn now(&self, totals: &OfEach) -> OfEach {
        let samples = self.0.lock();
        let before = &samples[0];
        let span = before.at.elapsed();
        let none = Counted::default();
        let averages = totals.iter().map(|(name, now)| {
            let before = before.counted.get(name).unwrap_or(&none);
            (name.clone(), now.per_second(before, span))
        });
        averages.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_since_for_each_second() {
        let before = Counted {
            assignments: 10,
            transactions: 100,
            waited: 1000,
            in_transaction: 600_000,
            ..Counted::default()
        };
        let now = Counted {
            assignments: 30,
            transactions: 700,
            waited: 5000,
            in_transaction: 3_600_000,
            at_work: 900,
            ..Counted::default()
        };
        let average = now.per_second(&before, Duration::from_secs(10));
        assert_eq!((average.transactions, average.waited), (60, 200));
        assert_eq!(average.in_transaction, 5000);
        assert_eq!((average.queries, average.at_work), (0, 0));
    }
}
