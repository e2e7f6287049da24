//! What a pool measures.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;

use super::Stats;
use crate::metrics::{Counter, Family, Gauge, Histogram, Metrics};

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

const WAITING: Family<Gauge, 1> = Family::new(
    "pgvalet_client_waiting",
    "Clients waiting for a server connection, by database.",
    ["database"],
);

const CONNECTIONS: Family<Gauge, 3> = Family::new(
    "pgvalet_server_connections",
    "Server connections, by database, secret and state.",
    ["database", "secret", "state"],
);

const DRAINING: Family<Gauge, 1> = Family::new(
    "pgvalet_server_connections_draining",
    "Server connections of generations that drain, by database.",
    ["database"],
);

const CHECKOUT: Family<Histogram, 1> = Family::new(
    "pgvalet_checkout_seconds",
    "How long a client waited for a server connection.",
    ["database"],
);

const LOGIN: Family<Histogram, 1> = Family::new(
    "pgvalet_server_login_seconds",
    "How long an upstream login took.",
    ["database"],
);

const LOGIN_FAILURES: Family<Counter, 2> = Family::new(
    "pgvalet_server_login_failures_total",
    "Upstream logins that failed, by database and SQLSTATE.",
    ["database", "sqlstate"],
);

const DRAIN: Family<Histogram, 1> = Family::new(
    "pgvalet_drain_seconds",
    "How long an older generation took to drain.",
    ["database"],
);

const ADOPTIONS: Family<Counter, 2> = Family::new(
    "pgvalet_adoptions_total",
    "Attempts to adopt a version, by secret and outcome.",
    ["secret", "outcome"],
);

const VERSION: Family<Gauge, 2> = Family::new(
    "pgvalet_secret_version_info",
    "1 for the version in force, by secret and version.",
    ["secret", "version"],
);

const AGE: Family<Gauge, 1> = Family::new(
    "pgvalet_secret_age_seconds",
    "Since the store last confirmed the version in force, by secret.",
    ["secret"],
);

/// The series of one pool. Those that are public fields are there from its start; the
/// others begin with the first event.
pub(super) struct PoolMetrics {
    pub transactions: Counter,
    pub queries: Counter,
    pub received_bytes: Counter,
    pub sent_bytes: Counter,
    pub waiting: Gauge,
    pub active: Gauge,
    pub idle: Gauge,
    pub opening: Gauge,
    pub draining: Gauge,
    pub checkout: Histogram,
    pub login: Histogram,
    pub drain: Histogram,
    /// What of this pool is in the series. Those that several pools share add up.
    published: Mutex<Levels>,
    registry: Arc<Metrics>,
    database: Arc<str>,
    secret: Box<str>,
}

impl PoolMetrics {
    /// `stats`: what an earlier pool has published already.
    pub fn new(registry: Arc<Metrics>, database: &Arc<str>, secret: &str, stats: &Stats) -> Self {
        let of_database = [&**database];
        let state = |state| registry.series(&CONNECTIONS, [database, secret, state]);
        Self {
            transactions: registry.series(&TRANSACTIONS, of_database),
            queries: registry.series(&QUERIES, of_database),
            received_bytes: registry.series(&RECEIVED_BYTES, of_database),
            sent_bytes: registry.series(&SENT_BYTES, of_database),
            waiting: registry.series(&WAITING, of_database),
            active: state("active"),
            idle: state("idle"),
            opening: state("opening"),
            draining: registry.series(&DRAINING, of_database),
            checkout: registry.series(&CHECKOUT, of_database),
            login: registry.series(&LOGIN, of_database),
            drain: registry.series(&DRAIN, of_database),
            published: Mutex::new(Levels::of(stats)),
            database: database.clone(),
            secret: secret.into(),
            registry,
        }
    }

    /// Brings the series up to date.
    pub fn publish(&self, now: Levels) {
        let mut before = self.published.lock();
        let gauges = [
            (&self.waiting, before.waiting, now.waiting),
            (&self.active, before.active, now.active),
            (&self.idle, before.idle, now.idle),
            (&self.opening, before.opening, now.opening),
            (&self.draining, before.draining, now.draining),
        ];
        for (gauge, before, now) in gauges {
            gauge.increment(now as f64 - before as f64);
        }
        let counters = [
            (&self.transactions, before.transactions, now.transactions),
            (&self.queries, before.queries, now.queries),
            (&self.received_bytes, before.received, now.received),
            (&self.sent_bytes, before.sent, now.sent),
        ];
        for (counter, before, now) in counters {
            counter.increment(now.saturating_sub(before));
        }
        *before = now;
    }

    pub fn login_failed(&self, sqlstate: &str) {
        let labels = [&*self.database, sqlstate];
        self.registry.series(&LOGIN_FAILURES, labels).increment(1);
    }

    pub fn adoption_failed(&self) {
        self.adoption("failed");
    }

    /// The version in force is `new`: the series of the one before goes to 0.
    pub fn adopted(&self, old: Option<&str>, new: &str) {
        self.adoption("ok");
        let gauge = |version| self.registry.series(&VERSION, [&*self.secret, version]);
        if let Some(old) = old {
            gauge(old).set(0.0);
        }
        gauge(new).set(1.0);
    }

    fn adoption(&self, outcome: &str) {
        let labels = [&*self.secret, outcome];
        self.registry.series(&ADOPTIONS, labels).increment(1);
    }

    /// `seconds` since the store last confirmed the version in force.
    pub fn age(&self, seconds: f64) {
        self.registry.series(&AGE, [&*self.secret]).set(seconds);
    }
}

/// What there is of a pool, and what it has done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Levels {
    pub waiting: usize,
    pub active: usize,
    pub idle: usize,
    pub opening: usize,
    pub draining: usize,
    pub transactions: u64,
    pub queries: u64,
    pub received: u64,
    pub sent: u64,
}

impl Levels {
    /// Without what there is.
    pub fn of(stats: &Stats) -> Self {
        Self {
            transactions: stats.transactions.load(Relaxed),
            queries: stats.queries.load(Relaxed),
            received: stats.received.load(Relaxed),
            sent: stats.sent.load(Relaxed),
            ..Self::default()
        }
    }
}

impl Drop for PoolMetrics {
    fn drop(&mut self) {
        let done = *self.published.lock();
        self.publish(Levels {
            waiting: 0,
            active: 0,
            idle: 0,
            opening: 0,
            draining: 0,
            ..done
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_with_its_labels() {
        let registry = Metrics::new();
        let stats = Stats::default();
        let pool = PoolMetrics::new(registry.clone(), &"orders".into(), "prod/orders", &stats);
        stats.transactions.store(3, Relaxed);
        pool.publish(Levels {
            idle: 2,
            ..Levels::of(&stats)
        });
        pool.checkout.record(0.002);
        pool.adopted(Some("v1"), "v2");
        let text = registry.render();
        for line in [
            "pgvalet_transactions_total{database=\"orders\"} 3",
            "pgvalet_server_connections{database=\"orders\",secret=\"prod/orders\",state=\"idle\"} 2",
            "pgvalet_checkout_seconds_bucket{database=\"orders\",le=\"0.0025\"} 1",
            "pgvalet_adoptions_total{secret=\"prod/orders\",outcome=\"ok\"} 1",
            "pgvalet_secret_version_info{secret=\"prod/orders\",version=\"v1\"} 0",
            "pgvalet_secret_version_info{secret=\"prod/orders\",version=\"v2\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    /// Two pools of one database, one of which ends and begins anew.
    #[test]
    fn pools_of_one_database_add_up() {
        let registry = Metrics::new();
        let new = |secret: &str, stats: &Stats| {
            PoolMetrics::new(registry.clone(), &"d".into(), secret, stats)
        };
        let says = |waiting: usize, transactions: usize| {
            let text = registry.render();
            text.contains(&format!(
                "pgvalet_client_waiting{{database=\"d\"}} {waiting}\n"
            )) && text.contains(&format!(
                "pgvalet_transactions_total{{database=\"d\"}} {transactions}\n"
            ))
        };
        let level = |waiting, stats: &Stats| Levels {
            waiting,
            ..Levels::of(stats)
        };
        let (one, two) = (Stats::default(), Stats::default());
        let (a, b) = (new("a", &one), new("b", &two));
        one.transactions.store(5, Relaxed);
        two.transactions.store(2, Relaxed);
        a.publish(level(3, &one));
        b.publish(level(1, &two));
        assert!(says(4, 7), "{}", registry.render());
        drop(a);
        assert!(says(1, 7), "{}", registry.render());
        one.transactions.store(6, Relaxed);
        new("a", &one).publish(level(0, &one));
        let a = new("a", &one);
        one.transactions.store(7, Relaxed);
        a.publish(level(2, &one));
        assert!(says(3, 8), "{}", registry.render());
    }
}
