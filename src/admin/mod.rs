//! The HTTP listener for those who run the proxy: metrics, health, status.
//!
//! * `address`     where it listens
//! * `doorkeeper`  which request is answered
//! * `fetch`       the client of a running proxy's listener
//! * `http`        the listener and its paths
//! * `status`      the JSON of `/status`
//! * `token`       the bearer token

mod address;
mod doorkeeper;
mod fetch;
mod http;
mod status;
#[cfg(test)]
mod tests;
mod token;

pub use address::AdminAddress;
pub use doorkeeper::Doorkeeper;
pub use fetch::{FetchError, fetch, refresh};
pub use http::{AdminListener, serve};
#[cfg(test)]
pub(crate) use status::examples;
pub use status::{
    Candidate, DatabaseStatus, GenerationStatus, Holder, ListenerStatus, RefreshFuture, Refreshed,
    SecretStatus, ServerCounts, Status, StatusSource,
};
pub use token::{Token, TokenError};
