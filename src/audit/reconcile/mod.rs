//! Compares the log with that of Postgres: every login there with its `server.open`, every
//! statement with its client and version.
//!
//! * `postgres` lines of Postgres's log
//! * `csv`      fields of its csvlog
//! * `evidence` what the audit log has of connections and leases
//! * `join`     what is in one log and not in the other

mod csv;
mod evidence;
mod join;
mod postgres;
#[cfg(test)]
mod tests;

pub use evidence::Evidence;
pub use join::{Left, Reconciled, reconcile};
pub use postgres::{LogFormat, PostgresLine, Unreadable, Wanted, read};
