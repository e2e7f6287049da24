//! Server connections: how many, for how long, and to which host.

mod hosts;
mod limits;
mod names;
mod statement_mode;
mod timeouts;
