//! The metrics, and their form in OTLP.
//!
//! They are taken from the text of `/metrics`, which is the one place where all of them meet:
//! the registry, the states, and what the system says of the process. Names and labels are the
//! same by both ways, so that a dashboard does not see by which one they came.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::net::otlp::{nanos, text};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`: since the process started.
const CUMULATIVE: u8 = 2;

/// A family as it is read.
#[derive(Default)]
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
    series: Vec<Series<'a>>,
}

/// One series: its labels, and what was found.
#[derive(Default)]
struct Series<'a> {
    labels: Vec<(&'a str, String)>,
    /// The value; for a histogram, the sum.
    value: f64,
    count: f64,
    /// The upper bounds of a histogram, and how many samples are not above them.
    buckets: Vec<(f64, f64)>,
}

/// The metrics of the text, as a list of `Metric`.
pub(super) fn metrics(exposed: &str, began: SystemTime, now: SystemTime) -> Vec<Value> {
    let (mut all, mut family) = (Vec::new(), Family::default());
    let mut helped = ("", "");
    for line in exposed.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped = rest.split_once(' ').unwrap_or((rest, ""));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            all.push(std::mem::take(&mut family));
            (family.name, family.kind) = rest.split_once(' ').unwrap_or((rest, ""));
            if helped.0 == family.name {
                family.help = helped.1;
            }
        } else if !line.starts_with('#') {
            family.add(line);
        }
    }
    all.push(family);
    let (began, now) = (nanos(began), nanos(now));
    let found = all.iter().filter(|family| !family.series.is_empty());
    found.map(|family| family.told(&began, &now)).collect()
}

impl<'a> Family<'a> {
    /// Adds a sample: `name{label="value",…} 1.5`.
    fn add(&mut self, line: &'a str) -> Option<()> {
        let (head, value) = line.rsplit_once(' ')?;
        let value: f64 = value.parse().ok()?;
        let (name, labels) = head.split_once('{').unwrap_or((head, ""));
        let mut labels = read_labels(labels);
        let of = name.strip_prefix(self.name)?;
        let bound = labels.iter().position(|(name, _)| *name == "le");
        let bound = bound.map(|at| labels.remove(at).1);
        if self.series.last().is_none_or(|last| last.labels != labels) {
            self.series.push(Series {
                labels,
                ..Series::default()
            });
        }
        let series = self.series.last_mut()?;
        match (of, bound) {
            ("_bucket", Some(bound)) => series.buckets.push((bound.parse().ok()?, value)),
            ("_count", None) => series.count = value,
            ("" | "_sum", None) => series.value = value,
            _ => {}
        }
        Some(())
    }

    fn told(&self, began: &str, now: &str) -> Value {
        let points = self.series.iter().filter(|s| s.value.is_finite());
        let points = points.map(|series| match self.kind {
            "histogram" => series.distribution(began, now),
            _ => series.number(began, now),
        });
        let points: Vec<Value> = points.collect();
        let (field, data) = match self.kind {
            "counter" => (
                "sum",
                json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE, "isMonotonic": true }),
            ),
            "histogram" => (
                "histogram",
                json!({ "dataPoints": points, "aggregationTemporality": CUMULATIVE }),
            ),
            _ => ("gauge", json!({ "dataPoints": points })),
        };
        json!({
            "name": self.name,
            "description": self.help,
            "unit": unit(self.name),
            field: data,
        })
    }
}

impl Series<'_> {
    fn attributes(&self) -> Vec<Value> {
        let labels = self.labels.iter();
        labels.map(|(name, value)| text(name, value)).collect()
    }

    /// A `NumberDataPoint`.
    fn number(&self, began: &str, now: &str) -> Value {
        json!({
            "attributes": self.attributes(),
            "startTimeUnixNano": began,
            "timeUnixNano": now,
            "asDouble": self.value,
        })
    }

    /// A `HistogramDataPoint`, whose buckets count what is in them alone.
    fn distribution(&self, began: &str, now: &str) -> Value {
        let before = std::iter::once(0.0).chain(self.buckets.iter().map(|(_, count)| *count));
        let own = self.buckets.iter().zip(before);
        let own = own.map(|((_, count), before)| whole(count - before));
        let bounds = self.buckets.iter().map(|(bound, _)| *bound);
        json!({
            "attributes": self.attributes(),
            "startTimeUnixNano": began,
            "timeUnixNano": now,
            "count": whole(self.count),
            "sum": self.value,
            "bucketCounts": own.collect::<Vec<_>>(),
            "explicitBounds": bounds.filter(|b| b.is_finite()).collect::<Vec<_>>(),
        })
    }
}

/// A count, as 64-bit numbers are in JSON.
fn whole(count: f64) -> String {
    format!("{:.0}", count.max(0.0))
}

/// The unit that a name ends with, as UCUM writes it.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "",
    }
}

/// Reads `label="value",…}`.
fn read_labels(mut text: &str) -> Vec<(&str, String)> {
    let mut labels = Vec::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let (mut value, mut characters) = (String::new(), rest.char_indices());
        let mut end = rest.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped)) => value.push(escaped),
                    None => {}
                },
                other => value.push(other),
            }
        }
        labels.push((name.trim_start_matches(','), value));
        text = &rest[end..];
    }
    labels
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::{Counter, Gauge, Histogram, Metrics};

    const EVENTS: crate::metrics::Family<Counter, 1> =
        crate::metrics::Family::new("pgvalet_test_total", "Events.", ["kind"]);
    const TIME: crate::metrics::Family<Histogram, 1> =
        crate::metrics::Family::new("pgvalet_test_seconds", "A time.", ["place"]);
    const STATE: crate::metrics::Family<Gauge, 1> =
        crate::metrics::Family::new("pgvalet_test_state", "A state.", ["place"]);

    #[test]
    fn labels_are_read_as_prometheus_escapes_them() {
        let text = r#"a="x",b="\"\\\n,c=",d=""} "#;
        let labels = read_labels(text);
        assert_eq!(
            labels,
            [
                ("a", "x".to_owned()),
                ("b", "\"\\\n,c=".to_owned()),
                ("d", String::new())
            ]
        );
    }

    #[test]
    fn what_the_registry_has_is_found_in_the_right_form() {
        let registry = Metrics::new();
        registry.series(&EVENTS, ["a \"b\"\n,c=\"}"]).increment(3);
        registry.series(&EVENTS, ["b"]).increment(1);
        for seconds in [0.002, 0.002, 7.0, 500.0] {
            registry.series(&TIME, ["here"]).record(seconds);
        }
        registry.replace(&STATE, [(["x"], 1.5)]);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        let all = metrics(&registry.render(), SystemTime::UNIX_EPOCH, now);
        let named = |name: &str| all.iter().find(|m| m["name"] == name).expect("it is there");
        let events = named("pgvalet_test_total");
        assert_eq!(events["description"], "Events.");
        assert_eq!(events["sum"]["isMonotonic"], true);
        assert_eq!(events["sum"]["aggregationTemporality"], 2);
        let points = events["sum"]["dataPoints"].as_array().expect("points");
        let point = points.iter().find(|p| p["asDouble"] == 3.0).expect("it");
        let label = &point["attributes"][0];
        assert_eq!(label["key"], "kind");
        assert_eq!(label["value"]["stringValue"], "a \"b\"\n,c=\"}");
        assert_eq!(point["timeUnixNano"], "9000000000");
        assert_eq!(points.len(), 2);
        let time = named("pgvalet_test_seconds");
        assert_eq!(time["unit"], "s");
        let point = &time["histogram"]["dataPoints"][0];
        assert_eq!(point["count"], "4");
        assert_eq!(point["sum"], 507.004);
        let counts = point["bucketCounts"].as_array().expect("counts");
        let bounds = point["explicitBounds"].as_array().expect("bounds");
        assert_eq!(counts.len(), bounds.len() + 1);
        let counted: Vec<&str> = counts.iter().filter_map(Value::as_str).collect();
        let sum: u64 = counted.iter().filter_map(|n| n.parse::<u64>().ok()).sum();
        assert_eq!(sum, 4);
        let at = |bound: f64| bounds.iter().position(|b| *b == bound).expect("a bound");
        assert_eq!(counted[at(0.0025)], "2");
        assert_eq!(counted[at(10.0)], "1");
        assert_eq!(counted.last(), Some(&"1"));
        let state = &named("pgvalet_test_state")["gauge"]["dataPoints"][0];
        assert_eq!(state["asDouble"], 1.5);
        assert!(named("process_threads")["gauge"]["dataPoints"][0]["asDouble"].is_number());
        assert_eq!(named("process_resident_memory_bytes")["unit"], "By");
    }
}
