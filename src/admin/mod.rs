//! The HTTP listener for those who run the proxy: metrics, health, status.
//!
//! * `address`     where it listens
//! * `doorkeeper`  which request is answered
//! * `events`      what those who watch the page are sent
//! * `fetch`       the client of a running proxy's listener
//! * `history`     the past that the page shows
//! * `http`        the listener and its paths
//! * `page`        the files of the status page
//! * `status`      the JSON of `/status`
//! * `token`       the bearer token
//! * `trouble`     something wrong, in words

mod address;
mod doorkeeper;
mod events;
mod fetch;
mod history;
mod http;
mod page;
mod status;
#[cfg(test)]
mod tests;
mod token;
mod trouble;

pub use address::AdminAddress;
pub use doorkeeper::Doorkeeper;
pub use fetch::{FetchError, fetch, refresh};
pub use history::{InForce, Load};
pub use http::{AdminListener, serve};
#[cfg(test)]
pub(crate) use status::examples;
pub use status::{
    Candidate, DatabaseStatus, GenerationStatus, Holder, ListenerStatus, RefreshFuture, Refreshed,
    RotationStep, SecretStatus, ServerCounts, Status, StatusSource,
};
pub use token::{Token, TokenError};
pub use trouble::{Place, Trouble, TroubleKind};
