//! Metrics, and the HTTP listener that serves them beside health and status.

mod fetch;
mod http;
mod metrics;
mod status;
#[cfg(test)]
mod tests;

pub use fetch::{FetchError, fetch};
pub use http::{Token, TokenError, serve};
pub use metrics::{Metrics, PoolMetrics, SecretMetrics};
#[cfg(test)]
pub(crate) use status::examples;
pub use status::{
    DatabaseStatus, GenerationStatus, Holder, ListenerStatus, SecretStatus, ServerCounts, Status,
    StatusSource,
};
