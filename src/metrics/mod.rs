//! The registry of metrics, and their text for Prometheus.
//!
//! Each part declares its families in its own `metrics.rs`, beside what they measure; here
//! are only those of the process. Names and labels are a contract with dashboards. A
//! client's *name* is a label; its address, its user and its SQL never are.
//!
//! Handles are made once, where the values of the labels first become known, and then
//! only incremented: nothing on a hot path looks a metric up.

mod family;
mod process;
mod states;

use std::collections::HashSet;
use std::sync::Arc;

use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use parking_lot::Mutex;

use crate::base::log;
pub use ::metrics::{Counter, Gauge, Histogram};
pub use family::{Family, Kind};
use states::States;

/// The upper bounds of buckets, in seconds: from the 250 µs of a local login to the two
/// minutes that a client waits by default.
const SECONDS: &[f64] = &[
    0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
    120.0,
];

const BUILD: Family<Gauge, 1> = Family::new(
    "pgvalet_build_info",
    "1, with the version of pgvalet.",
    ["version"],
);

const LOG_LINES_DROPPED: Family<Counter, 0> = Family::new(
    "pgvalet_log_lines_dropped_total",
    "Lines of the log on standard error that nobody read in time.",
    [],
);

/// One registry for each proxy, so that several proxies can run in one process; whatever
/// measures is given it.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// The names of families that have their help text already.
    described: Mutex<HashSet<&'static str>>,
    states: Mutex<States>,
}

impl Metrics {
    pub fn new() -> Arc<Self> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
            .unwrap_or_else(|_| PrometheusBuilder::new()) // only fails for an empty slice
            .build_recorder();
        let handle = recorder.handle();
        let metrics = Self {
            recorder,
            handle,
            described: Mutex::default(),
            states: Mutex::default(),
        };
        metrics.series(&BUILD, [env!("CARGO_PKG_VERSION")]).set(1.0);
        Arc::new(metrics)
    }

    /// The series of a family that has these values of its labels, in the order of the
    /// declaration; it exists from now on.
    pub fn series<K: Kind, const N: usize>(&self, family: &Family<K, N>, values: [&str; N]) -> K {
        if self.described.lock().insert(family.name) {
            family.describe(&self.recorder);
        }
        family.series(&self.recorder, values)
    }

    /// Replaces all series of a family by these: each has the values of its labels, in the
    /// order of the declaration.
    pub fn replace<'a, const N: usize>(
        &self,
        family: &Family<Gauge, N>,
        rows: impl IntoIterator<Item = ([&'a str; N], f64)>,
    ) {
        self.states.lock().replace(family, rows);
    }

    /// The text of `/metrics`, without the empty lines between families.
    pub fn render(&self) -> String {
        self.series(&LOG_LINES_DROPPED, []).absolute(log::dropped());
        self.handle.run_upkeep();
        let rendered = self.handle.render();
        let mut text = String::with_capacity(rendered.len());
        for line in rendered.lines().filter(|line| !line.is_empty()) {
            text.push_str(line);
            text.push('\n');
        }
        self.states.lock().render(&mut text);
        process::render(&mut text);
        text
    }

    /// Folds recorded samples into the histograms. To be called every few
    /// seconds: samples wait in memory until then.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: Family<Counter, 2> =
        Family::new("pgvalet_test_total", "Events.", ["kind", "place"]);
    const LEVEL: Family<Gauge, 1> = Family::new("pgvalet_test_level", "A level.", ["place"]);
    const TIME: Family<Histogram, 1> = Family::new("pgvalet_test_seconds", "A time.", ["place"]);

    #[test]
    fn what_is_measured_is_rendered_with_its_labels_and_its_help() {
        let metrics = Metrics::new();
        metrics.series(&EVENTS, ["a", "here"]).increment(3);
        metrics.series(&EVENTS, ["b", "here"]).increment(1);
        metrics.series(&LEVEL, ["here"]).set(2.0);
        metrics.series(&TIME, ["here"]).record(0.002);
        let text = metrics.render();
        for line in [
            "# HELP pgvalet_test_total Events.",
            "# TYPE pgvalet_test_total counter",
            "pgvalet_test_total{kind=\"a\",place=\"here\"} 3",
            "pgvalet_test_total{kind=\"b\",place=\"here\"} 1",
            "# TYPE pgvalet_test_level gauge",
            "pgvalet_test_level{place=\"here\"} 2",
            "# HELP pgvalet_test_seconds A time.",
            "pgvalet_test_seconds_bucket{place=\"here\",le=\"0.0025\"} 1",
            "pgvalet_log_lines_dropped_total 0",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
        assert_eq!(text.matches("# HELP pgvalet_test_total").count(), 1);
    }

    #[test]
    fn proxies_do_not_share_their_metrics() {
        let (a, b) = (Metrics::new(), Metrics::new());
        a.series(&EVENTS, ["a", "here"]).increment(1);
        assert!(!b.render().contains("pgvalet_test_total"));
    }
}
