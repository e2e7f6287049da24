//! Every metric there is, by name. The names are a contract with dashboards.
//!
//! Handles are made once, where a label set first becomes known, and then only
//! incremented: nothing on a hot path looks a metric up. A client's *name* is
//! a label; its address, its user and its SQL never are.

use std::collections::HashMap;
use std::sync::Arc;

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use parking_lot::Mutex;

/// Seconds. From the 100 µs of a local login to the default wait of two minutes.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Name, help. The unit is in the name, as Prometheus asks.
const COUNTERS: &[(&str, &str)] = &[
    (
        "pgvalet_transactions_total",
        "Transactions finished, by database.",
    ),
    (
        "pgvalet_queries_total",
        "Queries sent upstream (simple queries and executes), by database.",
    ),
    (
        "pgvalet_received_bytes_total",
        "Bytes received from clients, by database.",
    ),
    (
        "pgvalet_sent_bytes_total",
        "Bytes sent to clients, by database.",
    ),
    (
        "pgvalet_server_login_failures_total",
        "Upstream logins that failed, by database and SQLSTATE.",
    ),
    (
        "pgvalet_secret_fetches_total",
        "Questions put to the secret store, by secret and outcome.",
    ),
    (
        "pgvalet_adoptions_total",
        "Attempts to adopt a version, by secret and outcome.",
    ),
    (
        "pgvalet_session_migrations_total",
        "Sessions of session mode that moved to the version in force, by database.",
    ),
    (
        "pgvalet_rotation_steps_total",
        "Steps of rotations that ended, by secret, step and outcome.",
    ),
    (
        "pgvalet_denials_total",
        "Clients that were refused, by reason.",
    ),
    ("pgvalet_audit_records_total", "Audit records written."),
    (
        "pgvalet_audit_failures_total",
        "Audit records that could not be written.",
    ),
    (
        "pgvalet_log_lines_dropped_total",
        "Lines of the log on standard error that nobody read in time.",
    ),
];

const GAUGES: &[(&str, &str)] = &[
    (
        "pgvalet_client_connections",
        "Clients connected, by database and client.",
    ),
    (
        "pgvalet_client_waiting",
        "Clients waiting for a server connection, by database.",
    ),
    (
        "pgvalet_pinned_clients",
        "Clients that keep their server connection between transactions, by database, secret and reason.",
    ),
    (
        "pgvalet_server_connections",
        "Server connections, by database, secret and state.",
    ),
    (
        "pgvalet_server_connections_draining",
        "Server connections of generations that drain, by database.",
    ),
    (
        "pgvalet_secret_version_info",
        "1 for the version in force, by secret and version.",
    ),
    (
        "pgvalet_secret_age_seconds",
        "Since the store last confirmed the version in force, by secret.",
    ),
    ("pgvalet_build_info", "1, with the version of pgvalet."),
];

const HISTOGRAMS: &[(&str, &str)] = &[
    (
        "pgvalet_checkout_seconds",
        "How long a client waited for a server connection.",
    ),
    (
        "pgvalet_server_login_seconds",
        "How long an upstream login took.",
    ),
    (
        "pgvalet_drain_seconds",
        "How long an older generation took to drain.",
    ),
];

const METADATA: Metadata<'static> = Metadata::new("pgvalet", Level::INFO, None);

/// The registry. One a proxy, passed to whoever needs it.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    clients: Mutex<HashMap<OfClient, Gauge>>,
}

/// The names of a database and of a client.
type OfClient = (Arc<str>, Arc<str>);

impl Metrics {
    pub fn new() -> Arc<Self> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
            .unwrap_or_else(|_| PrometheusBuilder::new()) // only fails for an empty slice
            .build_recorder();
        let handle = recorder.handle();
        for (name, help) in COUNTERS {
            recorder.describe_counter(KeyName::from(*name), None, (*help).into());
        }
        for (name, help) in GAUGES {
            recorder.describe_gauge(KeyName::from(*name), None, (*help).into());
        }
        for (name, help) in HISTOGRAMS {
            recorder.describe_histogram(KeyName::from(*name), Some(Unit::Seconds), (*help).into());
        }
        let metrics = Self {
            recorder,
            handle,
            clients: Mutex::default(),
        };
        metrics
            .gauge(
                "pgvalet_build_info",
                &[("version", env!("CARGO_PKG_VERSION"))],
            )
            .set(1.0);
        Arc::new(metrics)
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> String {
        self.counter("pgvalet_log_lines_dropped_total", &[])
            .absolute(crate::base::log::dropped());
        self.handle.run_upkeep();
        self.handle.render()
    }

    /// Folds recorded samples into the histograms. To be called every few
    /// seconds: samples wait in memory until then.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    pub fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        debug_assert!(
            COUNTERS.iter().any(|(n, _)| *n == name),
            "{name} is not described"
        );
        self.recorder
            .register_counter(&key(name, labels), &METADATA)
    }

    pub fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        debug_assert!(
            GAUGES.iter().any(|(n, _)| *n == name),
            "{name} is not described"
        );
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    pub fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
        debug_assert!(
            HISTOGRAMS.iter().any(|(n, _)| *n == name),
            "{name} is not described"
        );
        self.recorder
            .register_histogram(&key(name, labels), &METADATA)
    }

    pub fn pool(&self, database: &str, secret: &str) -> PoolMetrics {
        let d = &[("database", database)];
        let state = |state| {
            self.gauge(
                "pgvalet_server_connections",
                &[("database", database), ("secret", secret), ("state", state)],
            )
        };
        PoolMetrics {
            transactions: self.counter("pgvalet_transactions_total", d),
            queries: self.counter("pgvalet_queries_total", d),
            received_bytes: self.counter("pgvalet_received_bytes_total", d),
            sent_bytes: self.counter("pgvalet_sent_bytes_total", d),
            waiting: self.gauge("pgvalet_client_waiting", d),
            active: state("active"),
            idle: state("idle"),
            opening: state("opening"),
            draining: self.gauge("pgvalet_server_connections_draining", d),
            checkout: self.histogram("pgvalet_checkout_seconds", d),
            login: self.histogram("pgvalet_server_login_seconds", d),
            drain: self.histogram("pgvalet_drain_seconds", d),
        }
    }

    /// Clients connected. Asked for by every login, and therefore kept at hand:
    /// both names stand in the configuration, so there are few.
    pub fn clients(&self, database: &Arc<str>, client: &Arc<str>) -> Gauge {
        let mut clients = self.clients.lock();
        let gauge = clients.entry((database.clone(), client.clone()));
        let labels = [("database", &**database), ("client", &**client)];
        gauge
            .or_insert_with(|| self.gauge("pgvalet_client_connections", &labels))
            .clone()
    }

    pub fn login_failure(&self, database: &str, sqlstate: &str) {
        self.counter(
            "pgvalet_server_login_failures_total",
            &[("database", database), ("sqlstate", sqlstate)],
        )
        .increment(1);
    }

    pub fn denial(&self, reason: &'static str) {
        self.counter("pgvalet_denials_total", &[("reason", reason)])
            .increment(1);
    }

    /// `outcome`: `done`, `skipped` or `failed`.
    pub fn rotation_step(&self, secret: &str, step: &str, outcome: &str) {
        self.counter(
            "pgvalet_rotation_steps_total",
            &[("secret", secret), ("step", step), ("outcome", outcome)],
        )
        .increment(1);
    }

    pub fn secret(self: &Arc<Self>, secret: &str) -> SecretMetrics {
        SecretMetrics {
            metrics: self.clone(),
            secret: secret.into(),
        }
    }
}

/// What a pool counts.
pub struct PoolMetrics {
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
}

/// What the watcher of a secret counts; rare enough to look up by label.
#[derive(Clone)]
pub struct SecretMetrics {
    metrics: Arc<Metrics>,
    secret: Arc<str>,
}

impl SecretMetrics {
    /// `outcome`: `ok`, or [`StoreError::kind`](crate::secret::StoreError::kind), or `malformed`.
    pub fn fetch(&self, outcome: &str) {
        self.metrics
            .counter(
                "pgvalet_secret_fetches_total",
                &[("secret", &self.secret), ("outcome", outcome)],
            )
            .increment(1);
    }

    /// `outcome`: `ok` or `failed`.
    pub fn adoption(&self, outcome: &str) {
        self.metrics
            .counter(
                "pgvalet_adoptions_total",
                &[("secret", &self.secret), ("outcome", outcome)],
            )
            .increment(1);
    }

    /// The version in force changed: the old one's series goes to 0.
    pub fn version(&self, old: Option<&str>, new: &str) {
        let gauge = |version: &str| {
            self.metrics.gauge(
                "pgvalet_secret_version_info",
                &[("secret", &self.secret), ("version", version)],
            )
        };
        if let Some(old) = old {
            gauge(old).set(0.0);
        }
        gauge(new).set(1.0);
    }

    pub fn age(&self) -> Gauge {
        self.metrics
            .gauge("pgvalet_secret_age_seconds", &[("secret", &self.secret)])
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels
        .iter()
        .map(|(k, v)| Label::new(*k, (*v).to_owned()))
        .collect();
    Key::from_parts(name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_with_its_labels() {
        let metrics = Metrics::new();
        let pool = metrics.pool("orders", "prod/orders");
        pool.transactions.increment(3);
        pool.idle.set(2.0);
        pool.checkout.record(0.002);
        metrics.denial("no_rule");
        metrics.secret("prod/orders").version(Some("v1"), "v2");
        let text = metrics.render();
        for line in [
            "pgvalet_transactions_total{database=\"orders\"} 3",
            "pgvalet_server_connections{database=\"orders\",secret=\"prod/orders\",state=\"idle\"} 2",
            "pgvalet_checkout_seconds_bucket{database=\"orders\",le=\"0.0025\"} 1",
            "pgvalet_denials_total{reason=\"no_rule\"} 1",
            "pgvalet_secret_version_info{secret=\"prod/orders\",version=\"v1\"} 0",
            "pgvalet_secret_version_info{secret=\"prod/orders\",version=\"v2\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn proxies_do_not_share_their_metrics() {
        let (a, b) = (Metrics::new(), Metrics::new());
        a.denial("no_rule");
        assert!(!b.render().contains("pgvalet_denials_total{"));
    }
}
