//! The audit log: who used which version of which secret, when, from where.
//!
//! [`Audit`] is the handle to record with. Every line holds the hash of the
//! line before it, so that a changed, missing or moved line shows (`line` has
//! the rule, [`verify`] checks it). What a chain cannot show is that its end
//! was cut off: to see that, keep the last hash somewhere else from time to
//! time, or write to a collector through standard output.

mod desk;
mod line;
mod log;
mod metrics;
mod options;
mod query;
mod queue;
mod record;
mod sink;
mod tail;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use log::{Audit, AuditError};
pub use options::{AuditSink, OnAuditFailure, Options};
pub use query::{Filter, printable, table_head, table_row};
pub use record::{CredentialRef, Event, IdentityRef, Outcome, Record, ServerRef};
pub use verify::{Broken, Place, Report, verify};
