//! One connection to a Postgres server: reach it, encrypt, log in, cancel, close.

mod auth;
mod cancel;
mod connect;
mod error;
mod exchange;
mod hosts;
mod login;
mod options;
mod rds_iam;
mod reported;
mod role;
pub(crate) mod scram;
mod server;
mod target;
#[cfg(test)]
mod tests;
mod version;

pub use cancel::cancel;
pub use connect::{Abandoned, connect, connect_with};
pub use error::ConnectError;
pub use exchange::{Answers, Fence, QueryError, Quiet, Rows};
pub use hosts::{Host, Hosts, SessionAttrs};
pub use login::Wishes;
pub use options::Options;
pub use reported::Reported;
pub use scram::{KeyCache, MAX_ITERATIONS, ScramError, verifier};
pub use server::{Backend, BackendPid, Server};
pub use target::{Target, TargetError};
pub use version::OldServers;
