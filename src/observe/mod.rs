//! Metrics, and the HTTP listener that serves them beside health and status.

mod fetch;
mod http;
mod metrics;
mod status;
#[cfg(test)]
mod tests;

pub use fetch::{FetchError, fetch, refresh};
pub use http::{Token, TokenError, serve};
pub use metrics::{Metrics, PoolMetrics, SecretMetrics};
#[cfg(test)]
pub(crate) use status::examples;
pub use status::{
    Candidate, DatabaseStatus, GenerationStatus, Holder, ListenerStatus, RefreshFuture, Refreshed,
    SecretStatus, ServerCounts, Status, StatusSource,
};
