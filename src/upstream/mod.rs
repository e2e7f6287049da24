//! One connection to a Postgres server: reach it, encrypt, log in, cancel, close.

mod auth;
mod cancel;
mod connect;
mod error;
mod rds_iam;
mod role;
pub(crate) mod scram;
mod server;
mod target;

pub use cancel::cancel;
pub use connect::{Reported, connect, connect_with};
pub use error::ConnectError;
pub use scram::{KeyCache, MAX_ITERATIONS, ScramError, verifier};
pub use server::{Backend, BackendPid, CleanError, Server};
pub use target::{Target, TargetError};
