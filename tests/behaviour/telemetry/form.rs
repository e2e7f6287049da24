//! The form of OTLP's messages in JSON, field for field.
//!
//! From opentelemetry-proto 1.9 (`trace.proto`, `metrics.proto`, `common.proto`,
//! `resource.proto`): names in lowerCamelCase, 64-bit numbers as text, ids as hexadecimal digits,
//! enumerations as numbers. A receiver ignores a name that it does not know, so that a wrong one
//! would be lost without an error.

use serde_json::Value;

/// What a field has.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// A whole number of 64 bits.
    Long,
    Double,
    Bool,
    /// An enumeration of which these values are used here, without a zero that means nothing.
    Enum(&'static [u64]),
    /// Bytes as hexadecimal digits, so many.
    Hex(usize),
    Message(&'static str),
    Many(&'static Kind),
}

use Kind::{Bool, Double, Enum, Hex, Long, Many, Message, Text};

const KEY_VALUES: Kind = Many(&Message("KeyValue"));

/// Message, field, kind, and whether each has to be there.
const FIELDS: &[(&str, &str, Kind, bool)] = &[
    (
        "ExportTraceServiceRequest",
        "resourceSpans",
        Many(&Message("ResourceSpans")),
        true,
    ),
    ("ResourceSpans", "resource", Message("Resource"), true),
    (
        "ResourceSpans",
        "scopeSpans",
        Many(&Message("ScopeSpans")),
        true,
    ),
    ("ScopeSpans", "scope", Message("InstrumentationScope"), true),
    ("ScopeSpans", "spans", Many(&Message("Span")), true),
    ("Span", "traceId", Hex(32), true),
    ("Span", "spanId", Hex(16), true),
    ("Span", "name", Text, true),
    ("Span", "kind", Enum(&[1, 2, 3, 4, 5]), true),
    ("Span", "startTimeUnixNano", Long, true),
    ("Span", "endTimeUnixNano", Long, true),
    ("Span", "attributes", KEY_VALUES, true),
    ("Span", "events", Many(&Message("Event")), false),
    ("Span", "status", Message("Status"), false),
    ("Event", "timeUnixNano", Long, true),
    ("Event", "name", Text, true),
    ("Event", "attributes", KEY_VALUES, false),
    ("Status", "message", Text, false),
    ("Status", "code", Enum(&[0, 1, 2]), false),
    ("Resource", "attributes", KEY_VALUES, true),
    ("InstrumentationScope", "name", Text, true),
    ("InstrumentationScope", "version", Text, false),
    ("KeyValue", "key", Text, true),
    ("KeyValue", "value", Message("AnyValue"), true),
    ("AnyValue", "stringValue", Text, false),
    ("AnyValue", "intValue", Long, false),
    ("AnyValue", "boolValue", Bool, false),
    ("AnyValue", "doubleValue", Double, false),
    (
        "ExportMetricsServiceRequest",
        "resourceMetrics",
        Many(&Message("ResourceMetrics")),
        true,
    ),
    ("ResourceMetrics", "resource", Message("Resource"), true),
    (
        "ResourceMetrics",
        "scopeMetrics",
        Many(&Message("ScopeMetrics")),
        true,
    ),
    (
        "ScopeMetrics",
        "scope",
        Message("InstrumentationScope"),
        true,
    ),
    ("ScopeMetrics", "metrics", Many(&Message("Metric")), true),
    ("Metric", "name", Text, true),
    ("Metric", "description", Text, false),
    ("Metric", "unit", Text, false),
    ("Metric", "gauge", Message("Gauge"), false),
    ("Metric", "sum", Message("Sum"), false),
    ("Metric", "histogram", Message("Histogram"), false),
    (
        "Gauge",
        "dataPoints",
        Many(&Message("NumberDataPoint")),
        true,
    ),
    ("Sum", "dataPoints", Many(&Message("NumberDataPoint")), true),
    ("Sum", "aggregationTemporality", Enum(&[1, 2]), true),
    ("Sum", "isMonotonic", Bool, true),
    (
        "Histogram",
        "dataPoints",
        Many(&Message("HistogramDataPoint")),
        true,
    ),
    ("Histogram", "aggregationTemporality", Enum(&[1, 2]), true),
    ("NumberDataPoint", "attributes", KEY_VALUES, false),
    ("NumberDataPoint", "startTimeUnixNano", Long, false),
    ("NumberDataPoint", "timeUnixNano", Long, true),
    ("NumberDataPoint", "asDouble", Double, true),
    ("HistogramDataPoint", "attributes", KEY_VALUES, false),
    ("HistogramDataPoint", "startTimeUnixNano", Long, false),
    ("HistogramDataPoint", "timeUnixNano", Long, true),
    ("HistogramDataPoint", "count", Long, true),
    ("HistogramDataPoint", "sum", Double, false),
    ("HistogramDataPoint", "bucketCounts", Many(&Long), true),
    ("HistogramDataPoint", "explicitBounds", Many(&Double), true),
];

/// What is wrong with a value that should be such a message.
pub fn faults(message: &str, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    look(message, value, &Message(leak(message)), &mut found);
    found
}

fn leak(message: &str) -> &'static str {
    let known = FIELDS.iter().find(|(name, ..)| *name == message);
    known.expect("a known message").0
}

fn look(place: &str, value: &Value, kind: &Kind, found: &mut Vec<String>) {
    let right = match kind {
        Text => value.is_string(),
        Long => value.as_str().is_some_and(|n| n.parse::<i64>().is_ok()),
        Double => value.is_number(),
        Bool => value.is_boolean(),
        Enum(values) => value.as_u64().is_some_and(|n| values.contains(&n)),
        Hex(digits) => value.as_str().is_some_and(|text| {
            text.len() == *digits
                && text.bytes().all(|b| b.is_ascii_hexdigit())
                && text.bytes().any(|b| b != b'0')
        }),
        Many(of) => value.as_array().is_some_and(|all| {
            for one in all {
                look(place, one, of, found);
            }
            true
        }),
        Message(name) => {
            look_into(place, value, name, found);
            value.is_object()
        }
    };
    if !right {
        found.push(format!("{place}: {value}"));
    }
}

fn look_into(place: &str, value: &Value, name: &str, found: &mut Vec<String>) {
    let fields = || FIELDS.iter().filter(|(message, ..)| *message == name);
    for (field, within) in value.as_object().into_iter().flatten() {
        let place = format!("{place}.{field}");
        match fields().find(|(_, known, ..)| known == field) {
            Some((_, _, kind, _)) => look(&place, within, kind, found),
            None => found.push(format!("{place} is no field of {name}")),
        }
    }
    for (_, field, _, needed) in fields() {
        if *needed && value.get(field).is_none() {
            found.push(format!("{place} has no {field}"));
        }
    }
}

#[test]
fn what_is_not_of_the_form_is_found() {
    let span = |more: &str| {
        let text = format!(
            "{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":[]}},\"scopeSpans\":[{{\
             \"scope\":{{\"name\":\"x\"}},\"spans\":[{{\"traceId\":\"{}\",\"spanId\":\"{}\",\
             \"name\":\"n\",\"kind\":2,\"startTimeUnixNano\":\"1\",\"attributes\":[]{more}}}]}}]}}]}}",
            "a1".repeat(16),
            "a1".repeat(8)
        );
        let value = serde_json::from_str(&text).expect("JSON");
        faults("ExportTraceServiceRequest", &value)
    };
    let right = span(",\"endTimeUnixNano\":\"2\"");
    assert!(right.is_empty(), "{right:?}");
    for wrong in [
        "",
        ",\"endTimeUnixNano\":2",
        ",\"endTimeUnixNano\":\"2\",\"trace_state\":\"\"",
        ",\"endTimeUnixNano\":\"2\",\"status\":{\"code\":\"ERROR\"}",
    ] {
        assert_eq!(span(wrong).len(), 1, "{wrong}");
    }
}
