//! Metrics, the HTTP listener that serves them beside health and status, and the log.

mod doorkeeper;
mod fetch;
mod http;
pub mod log;
mod metrics;
mod status;
#[cfg(test)]
mod tests;
mod token;

pub use doorkeeper::Doorkeeper;
pub use fetch::{FetchError, fetch, refresh};
pub use http::{AdminListener, serve};
pub use metrics::{Metrics, PoolMetrics, SecretMetrics};
#[cfg(test)]
pub(crate) use status::examples;
pub use status::{
    Candidate, DatabaseStatus, GenerationStatus, Holder, ListenerStatus, RefreshFuture, Refreshed,
    SecretStatus, ServerCounts, Status, StatusSource,
};
pub use token::{Token, TokenError};
