//! For those who run the proxy: the HTTP listener (metrics, health, status) and the console.
//!
//! * `action`      what an administrator can do, however it is asked for
//! * `address`     where it listens
//! * `console`     the psql console
//! * `doorkeeper`  which request is answered
//! * `events`      what those who watch the page are sent
//! * `explain`     which rule decides about a client, and why the others do not
//! * `fetch`       the client of a running proxy's listener
//! * `history`     the past that the page shows
//! * `http`        the listener and its paths
//! * `inspect`     what the page shows only to those who have the token
//! * `operations`  what is asked of a running proxy
//! * `page`        the files of the status page
//! * `reloaded`    what a reload has changed
//! * `status`      the JSON of `/status`
//! * `steer`       the paths by which a proxy is steered
//! * `views`       clients, server connections and denials in JSON
//! * `token`       the bearer token
//! * `trouble`     something wrong, in words

mod action;
mod address;
mod console;
mod doorkeeper;
mod events;
pub mod explain;
mod fetch;
mod history;
mod http;
mod inspect;
mod operations;
mod page;
mod reloaded;
mod status;
mod steer;
#[cfg(test)]
mod tests;
mod token;
mod trouble;
mod views;

pub use address::AdminAddress;
pub use console::Console;
pub use doorkeeper::Doorkeeper;
pub use fetch::{FetchError, act, fetch, list, refresh};
pub use history::{InForce, Load};
pub use http::{AdminListener, serve};
pub use operations::{Operations, Others, Reload, Rotation, Setting, Steer, Stop, Upgrade};
pub use reloaded::Reloaded;
#[cfg(test)]
pub(crate) use status::examples;
pub use status::{
    Candidate, DatabaseStatus, FleetStatus, GenerationStatus, Holder, ListenerStatus,
    RefreshFuture, Refreshed, RotationStep, SecretStatus, ServerCounts, Status, StatusSource,
};
pub use steer::{Done, NotDone};
pub use token::{Token, TokenError};
pub use trouble::{Place, Trouble, TroubleKind};
pub use views::{ClientView, DenialView, RuleView, ServerConnection, clients};
