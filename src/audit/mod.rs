//! The audit log: who used which version of which secret, when, from where.
//!
//! [`Audit`] is the handle to record with. The records are the leaves of a Merkle tree, whose
//! root is signed every few seconds: whoever has the public key sees that a record was changed,
//! removed, inserted or moved, and whoever has kept a checkpoint, that the end was cut off.
//!
//! Writing:
//!
//! * `record` the fields of a record; `events` a constructor for each event
//! * `log`    the handle; `queue` the records on their way to the writer
//! * `desk`   who writes: a thread, or whoever waits for a line, or another process (`handover`)
//! * `writer` all that is queued becomes one write; `line` a line and its place in the tree
//! * `health` whether records can be written
//! * `sink`   the file or standard output; `standing` where a log stands when it is opened
//! * `seal`   signs the tree from time to time; `key` the key for that
//! * `segment` closes files, compresses them, and removes old ones
//!
//! What is signed:
//!
//! * `tree`   the Merkle tree; `note` signed texts; `checkpoint` what is signed of the tree
//!
//! Reading:
//!
//! * `files`  the files of a log
//! * `verify` whether a log is as it was written; `report` what that found
//! * `prove`  that a record is in the log
//! * `latest` the newest records of a log that is being written
//! * `filter` which records are wanted; `fields` where a record has what
//! * `table`  records as people see them

mod checkpoint;
mod desk;
mod events;
mod fields;
mod files;
mod filter;
mod handover;
mod health;
mod key;
mod latest;
mod line;
mod log;
mod metrics;
mod note;
mod options;
mod prove;
mod queue;
mod record;
mod report;
mod seal;
mod segment;
mod sink;
mod standing;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod verify;
mod writer;

pub use checkpoint::TreeRef;
pub use events::{Cause, ClientRef, SessionRef, SessionTotals};
pub use fields::is_of_the_log;
pub use files::{Lines, body, segments};
pub use filter::Filter;
pub use handover::{Carry, Passed};
pub use health::Failing;
pub use latest::latest;
pub use log::{Audit, AuditError};
pub use note::PublicKey;
pub use options::{AuditSink, OnAuditFailure, Options, Segments};
pub use prove::prove;
pub use record::{CredentialRef, Event, IdentityRef, Outcome, Record, ServerRef};
pub use report::{Against, Broken, Place, Report, Source};
pub use table::{printable, table_head, table_row};
pub use verify::verify;
