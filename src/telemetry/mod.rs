//! OpenTelemetry: traces and metrics, sent to a collector by OTLP over HTTP (docs/OPENTELEMETRY.md).
//! Off unless the environment names a collector.
//!
//! * `options` what the `OTEL_*` variables say
//! * `sampler` which traces are kept
//! * `span`    a finished span, and its form in OTLP
//! * `traces`  the spans that wait to be sent
//! * `points`  the metrics, and their form in OTLP
//! * `export`  sends both
//!
//! Why the `opentelemetry` crates are not used: they measure what is going on, with spans that
//! are open and instruments of their own. A span of pgvalet is made when a session or a rotation
//! has ended, from what the registry knew of it anyway, and its metrics are in a registry
//! already, so that neither would need more of those crates than their data types. For these
//! they bring twelve more crates (Protobuf and its macros among them), and they would still send
//! by the HTTP client that is here (`net::otlp`), which the audit log's sink uses as well.

mod export;
mod options;
mod points;
mod sampler;
mod span;
mod traces;

pub use export::Telemetry;
pub use options::{Options, Signal};
pub use sampler::Sampler;
pub use span::{Attribute, Kind, Span, SpanEvent};
pub use traces::Traces;
