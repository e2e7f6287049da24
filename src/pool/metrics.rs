//! What a pool measures.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;

use super::Stats;
use crate::metrics::{Counter, Family, Histogram, Metrics};

const TRANSACTIONS: Family<Counter, 1> = Family::new(
    "pgvalet_transactions_total",
    "Transactions finished, by database.",
    ["database"],
);

const QUERIES: Family<Counter, 1> = Family::new(
    "pgvalet_queries_total",
    "Queries sent upstream (simple queries and executes), by database.",
    ["database"],
);

const RECEIVED_BYTES: Family<Counter, 1> = Family::new(
    "pgvalet_received_bytes_total",
    "Bytes received from clients, by database.",
    ["database"],
);

const SENT_BYTES: Family<Counter, 1> = Family::new(
    "pgvalet_sent_bytes_total",
    "Bytes sent to clients, by database.",
    ["database"],
);

const CHECKOUT: Family<Histogram, 0> = Family::new(
    "pgvalet_checkout_seconds",
    "How long a client waited for a server connection.",
    [],
);

const LOGIN: Family<Histogram, 0> = Family::new(
    "pgvalet_server_login_seconds",
    "How long an upstream login took.",
    [],
);

const LOGIN_FAILURES: Family<Counter, 2> = Family::new(
    "pgvalet_server_login_failures_total",
    "Upstream logins that failed, by database and SQLSTATE.",
    ["database", "sqlstate"],
);

const DRAIN: Family<Histogram, 0> = Family::new(
    "pgvalet_drain_seconds",
    "How long an older generation took to drain.",
    [],
);

const ADOPTIONS: Family<Counter, 2> = Family::new(
    "pgvalet_adoptions_total",
    "Attempts to adopt a version, by secret and outcome.",
    ["secret", "outcome"],
);

/// invalid_password: logins that fail for it are counted from zero on, so that the first
/// shows.
const WRONG_PASSWORD: &str = "28P01";

/// The counters of one pool, which share their series with other pools of the database, and
/// the histograms of all.
pub(super) struct PoolMetrics {
    transactions: Counter,
    queries: Counter,
    received_bytes: Counter,
    sent_bytes: Counter,
    /// What was added to these four already.
    added: Mutex<Totals>,
    pub checkout: Histogram,
    pub login: Histogram,
    pub drain: Histogram,
    registry: Arc<Metrics>,
    database: Arc<str>,
    secret: Box<str>,
}

/// What the sessions of a pool have added up since it began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Totals {
    pub transactions: u64,
    pub queries: u64,
    pub received: u64,
    pub sent: u64,
}

impl Totals {
    pub fn of(stats: &Stats) -> Self {
        Self {
            transactions: stats.transactions.load(Relaxed),
            queries: stats.queries.load(Relaxed),
            received: stats.received.load(Relaxed),
            sent: stats.sent.load(Relaxed),
        }
    }
}

impl PoolMetrics {
    /// `stats`: what an earlier pool has published already.
    pub fn new(registry: Arc<Metrics>, database: &Arc<str>, secret: &str, stats: &Stats) -> Self {
        let of_database = [&**database];
        for outcome in ["ok", "failed"] {
            registry.series(&ADOPTIONS, [secret, outcome]).increment(0);
        }
        let failures = registry.series(&LOGIN_FAILURES, [&**database, WRONG_PASSWORD]);
        failures.increment(0);
        Self {
            transactions: registry.series(&TRANSACTIONS, of_database),
            queries: registry.series(&QUERIES, of_database),
            received_bytes: registry.series(&RECEIVED_BYTES, of_database),
            sent_bytes: registry.series(&SENT_BYTES, of_database),
            added: Mutex::new(Totals::of(stats)),
            checkout: registry.series(&CHECKOUT, []),
            login: registry.series(&LOGIN, []),
            drain: registry.series(&DRAIN, []),
            database: database.clone(),
            secret: secret.into(),
            registry,
        }
    }

    pub fn login_failed(&self, sqlstate: &str) {
        let labels = [&*self.database, sqlstate];
        self.registry.series(&LOGIN_FAILURES, labels).increment(1);
    }

    pub fn adoption_failed(&self) {
        self.adoption("failed");
    }

    pub fn adopted(&self) {
        self.adoption("ok");
    }

    fn adoption(&self, outcome: &str) {
        let labels = [&*self.secret, outcome];
        self.registry.series(&ADOPTIONS, labels).increment(1);
    }

    /// Adds what has come since this was called last.
    pub fn add_up(&self, now: Totals) {
        let mut added = self.added.lock();
        let add = |counter: &Counter, now: u64, before: u64| {
            counter.increment(now.saturating_sub(before));
        };
        add(&self.transactions, now.transactions, added.transactions);
        add(&self.queries, now.queries, added.queries);
        add(&self.received_bytes, now.received, added.received);
        add(&self.sent_bytes, now.sent, added.sent);
        *added = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(transactions: u64) -> Totals {
        Totals {
            transactions,
            ..Totals::default()
        }
    }

    #[test]
    fn what_is_counted_is_rendered_with_its_labels_from_zero_on() {
        let registry = Metrics::new();
        let pool = PoolMetrics::new(
            registry.clone(),
            &"orders".into(),
            "prod/orders",
            &Stats::default(),
        );
        for line in [
            "pgvalet_transactions_total{database=\"orders\"} 0",
            "pgvalet_adoptions_total{secret=\"prod/orders\",outcome=\"failed\"} 0",
            "pgvalet_server_login_failures_total{database=\"orders\",sqlstate=\"28P01\"} 0",
        ] {
            let text = registry.render();
            assert!(
                text.contains(line),
                "{line} is missing in:
{text}"
            );
        }
        pool.add_up(totals(3));
        pool.checkout.record(0.002);
        pool.adopted();
        let text = registry.render();
        for line in [
            "pgvalet_transactions_total{database=\"orders\"} 3",
            "pgvalet_checkout_seconds_bucket{le=\"0.0025\"} 1",
            "pgvalet_adoptions_total{secret=\"prod/orders\",outcome=\"ok\"} 1",
        ] {
            assert!(
                text.contains(line),
                "{line} is missing in:
{text}"
            );
        }
    }

    /// Two pools of one database, one of which ends and begins anew.
    #[test]
    fn pools_of_one_database_add_up() {
        let registry = Metrics::new();
        let new = |secret: &str, stats: &Stats| {
            PoolMetrics::new(registry.clone(), &"d".into(), secret, stats)
        };
        let says = |transactions: usize| {
            registry.render().contains(&format!(
                "pgvalet_transactions_total{{database=\"d\"}} {transactions}\n"
            ))
        };
        let (one, two) = (Stats::default(), Stats::default());
        let (a, b) = (new("a", &one), new("b", &two));
        one.transactions.store(5, Relaxed);
        two.transactions.store(2, Relaxed);
        a.add_up(Totals::of(&one));
        b.add_up(Totals::of(&two));
        assert!(says(7), "{}", registry.render());
        drop(a);
        one.transactions.store(6, Relaxed);
        new("a", &one).add_up(Totals::of(&one));
        let a = new("a", &one);
        one.transactions.store(7, Relaxed);
        a.add_up(Totals::of(&one));
        assert!(says(8), "{}", registry.render());
    }
}
