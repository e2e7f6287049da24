//! Server connections: how many, for how long, and to which host.

mod down;
mod hosts;
mod lazy;
mod limits;
mod names;
mod restart;
mod socket;
mod statement_mode;
mod timeouts;
mod vacate;
