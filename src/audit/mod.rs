//! The audit log: who used which version of which secret, when, from where.
//!
//! [`Audit`] is the handle to record with. Every line holds the hash of the
//! line before it, so that a changed, missing or moved line shows. A chain cannot
//! show that its end was cut off: to see that, keep the last hash somewhere else
//! from time to time, or write to a collector through standard output.
//!
//! Writing:
//!
//! * `record` the fields of a record; `events` a constructor for each event
//! * `log`    the handle; `queue` the records on their way to the writer
//! * `desk`   who writes: a thread, or whoever waits for a line
//! * `writer` all that is queued becomes one write; `line` a line and its hash
//! * `sink`   the file or standard output; `tail` where a file's chain stands
//!
//! Reading:
//!
//! * `verify` whether a log is as it was written
//! * `filter` which records are wanted; `fields` where a record has what
//! * `table`  records as people see them

mod desk;
mod events;
mod fields;
mod filter;
mod line;
mod log;
mod metrics;
mod options;
mod queue;
mod record;
mod sink;
mod table;
mod tail;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

pub use events::{Cause, ClientRef, SessionRef, SessionTotals};
pub use filter::Filter;
pub use log::{Audit, AuditError};
pub use options::{AuditSink, OnAuditFailure, Options};
pub use record::{CredentialRef, Event, IdentityRef, Outcome, Record, ServerRef};
pub use table::{printable, table_head, table_row};
pub use verify::{Broken, Place, Report, verify};
