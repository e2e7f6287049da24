//! Metrics, and the HTTP listener that serves them beside health and status.

mod http;
mod metrics;
mod status;

pub use http::serve;
pub use metrics::{Metrics, PoolMetrics, SecretMetrics};
pub use status::{
    DatabaseStatus, GenerationStatus, Holder, SecretStatus, ServerCounts, Status, StatusSource,
    rfc3339,
};
