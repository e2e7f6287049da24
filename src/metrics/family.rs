//! A family of metrics: the series that have one name and differ in their labels.

use std::marker::PhantomData;

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::PrometheusRecorder;

const METADATA: Metadata<'static> = Metadata::new("pgvalet", Level::INFO, None);

/// What a part declares beside the code that measures it: a name, a help text, and the
/// names of `N` labels. The unit is in the name, as Prometheus asks.
///
/// docs/METRICS.md has a line for each; tests/documents/metrics.rs compares them.
pub struct Family<K, const N: usize> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: [&'static str; N],
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind, const N: usize> Family<K, N> {
    pub const fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self {
            name,
            help,
            labels,
            kind: PhantomData,
        }
    }

    pub(super) fn describe(&self, recorder: &PrometheusRecorder) {
        K::describe(recorder, self.name, self.help);
    }

    /// The series with these values of the labels.
    pub(super) fn series(&self, recorder: &PrometheusRecorder, values: [&str; N]) -> K {
        let label = |(name, value): (&'static str, &str)| Label::new(name, value.to_owned());
        let labels: Vec<Label> = self.labels.into_iter().zip(values).map(label).collect();
        K::register(recorder, &Key::from_parts(self.name, labels))
    }
}

/// [`Counter`], [`Gauge`] or [`Histogram`].
pub trait Kind: Sized {
    fn describe(recorder: &PrometheusRecorder, name: &'static str, help: &'static str);
    fn register(recorder: &PrometheusRecorder, key: &Key) -> Self;
}

impl Kind for Counter {
    fn describe(recorder: &PrometheusRecorder, name: &'static str, help: &'static str) {
        recorder.describe_counter(KeyName::from(name), None, help.into());
    }

    fn register(recorder: &PrometheusRecorder, key: &Key) -> Self {
        recorder.register_counter(key, &METADATA)
    }
}

impl Kind for Gauge {
    fn describe(recorder: &PrometheusRecorder, name: &'static str, help: &'static str) {
        recorder.describe_gauge(KeyName::from(name), None, help.into());
    }

    fn register(recorder: &PrometheusRecorder, key: &Key) -> Self {
        recorder.register_gauge(key, &METADATA)
    }
}

impl Kind for Histogram {
    fn describe(recorder: &PrometheusRecorder, name: &'static str, help: &'static str) {
        recorder.describe_histogram(KeyName::from(name), Some(Unit::Seconds), help.into());
    }

    fn register(recorder: &PrometheusRecorder, key: &Key) -> Self {
        recorder.register_histogram(key, &METADATA)
    }
}
