//! Metrics, and the HTTP listener that serves them beside health and status.

mod metrics;

pub use metrics::{Metrics, PoolMetrics, SecretMetrics};
