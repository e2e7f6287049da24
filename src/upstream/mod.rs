//! One connection to a Postgres server: reach it, encrypt, log in, ask, cancel,
//! close.
//!
//! * `options`   how a server is reached, `hosts` which servers there are
//! * `target`    where a login goes: the options, completed by the secret
//! * `connect`   from the places of a target to a server that has let us in
//! * `knock`     the addresses of one place, tried one by one, `reach` each of them
//! * `role`      primary or standby
//! * `login`     one login, `wishes` what it asks for
//! * `auth`      the authentication exchange, with `scram`, `binding` and `rds_iam`
//! * `cache`     what logins with one version keep for the next one
//! * `version`   which version of the protocol a server is asked for
//! * `server`    an established connection, `reported` what it says of itself
//! * `exchange`  questions of pgvalet's own, `quiet` the proof they end with
//! * `backend`   what it takes to cancel, `cancel` doing so

mod auth;
mod backend;
mod binding;
mod cache;
mod cancel;
mod connect;
mod error;
mod exchange;
mod hosts;
mod knock;
mod login;
mod options;
mod quiet;
mod rds_iam;
mod reach;
mod reported;
mod role;
pub(crate) mod scram;
mod server;
mod shortcut;
mod target;
#[cfg(test)]
mod tests;
mod version;
mod wishes;

pub use backend::{Backend, BackendPid};
pub use cache::LoginCache;
pub use cancel::cancel;
pub use connect::{Abandoned, connect, connect_with};
pub use error::ConnectError;
pub use exchange::{AT_ONCE, Answers, QueryError, Rows};
pub use hosts::{Host, Hosts, SessionAttrs};
pub use options::Options;
pub use quiet::{Fence, Quiet};
pub use reported::Reported;
pub use scram::{ScramError, verifier};
pub use server::{CLOSE_TIMEOUT, Server};
pub use target::{Target, TargetError};
pub use version::OldServers;
pub use wishes::Wishes;
