//! A finished span, and its form in OTLP.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::base::hex;
use crate::net::otlp::{nanos, text, whole};

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    Text(Arc<str>),
    Number(u64),
}

impl From<&Arc<str>> for Attribute {
    fn from(text: &Arc<str>) -> Self {
        Self::Text(text.clone())
    }
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for Attribute {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

pub type Attributes = Vec<(&'static str, Attribute)>;

/// What kind of span it is, by its number in OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Internal = 1,
    Server = 2,
}

/// Something that happened in the time of a span.
#[derive(Debug, Clone)]
pub struct SpanEvent {
    pub at: SystemTime,
    pub name: &'static str,
    pub attributes: Attributes,
}

/// Something that had a beginning and has an end. Neither names nor attributes may have a
/// secret's value or the text of a statement in them.
#[derive(Debug, Clone)]
pub struct Span {
    pub name: String,
    pub kind: Kind,
    pub began: SystemTime,
    pub ended: SystemTime,
    pub attributes: Attributes,
    pub events: Vec<SpanEvent>,
    /// Why it failed.
    pub failed: Option<String>,
}

/// The ids of a span, which is the only one of its trace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ids {
    pub trace: [u8; 16],
    pub span: [u8; 8],
}

/// The status codes of spans.
const STATUS_UNSET: u8 = 0;
const STATUS_ERROR: u8 = 2;

impl Span {
    pub(super) fn told(&self, ids: Ids) -> Value {
        let status = match &self.failed {
            None => json!({ "code": STATUS_UNSET }),
            Some(why) => json!({ "code": STATUS_ERROR, "message": why }),
        };
        let events = self.events.iter().map(|event| {
            json!({
                "timeUnixNano": nanos(event.at),
                "name": event.name,
                "attributes": told(&event.attributes),
            })
        });
        json!({
            "traceId": hex::encode(&ids.trace),
            "spanId": hex::encode(&ids.span),
            "name": self.name,
            "kind": self.kind as u8,
            "startTimeUnixNano": nanos(self.began),
            "endTimeUnixNano": nanos(self.ended.max(self.began)),
            "attributes": told(&self.attributes),
            "events": events.collect::<Vec<_>>(),
            "status": status,
        })
    }
}

fn told(attributes: &Attributes) -> Vec<Value> {
    let one = |(key, value): &(&'static str, Attribute)| match value {
        Attribute::Text(value) => text(key, value),
        Attribute::Number(value) => whole(key, value),
    };
    attributes.iter().map(one).collect()
}
