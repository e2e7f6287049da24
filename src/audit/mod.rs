//! The audit log: who used which version of which secret, when, from where.
//!
//! [`Audit`] is the handle to record with. The records are the leaves of a Merkle tree, whose
//! root is signed every few seconds: whoever has the public key sees that a record was changed,
//! removed, inserted or moved, and whoever has kept a checkpoint, that the end was cut off.
//!
//! Writing:
//!
//! * `record` the fields of a record, `parts` those that several have; `events` a constructor for each event, `own` those of the
//!   log itself; `refs` what they are told
//! * `log`    the handle, `begin` what it opens, `counts` what it counts; `queue` the records on their way to the writer
//! * `desk`   who writes: a thread, or whoever waits for a line, or another process (`handover`)
//! * `writer` all that is queued becomes one write; `line` a line and its place in the tree
//! * `health` whether records can be written
//! * `sink`   the file or standard output (`stdout`); `standing` where a log stands when it is opened
//! * `seal`   signs the tree from time to time; `key` the key for that
//! * `ship`   other places that get the records
//! * `segment` closes files, compresses them, and removes old ones
//!
//! What is signed:
//!
//! * `tree`   the Merkle tree; `note` signed texts; `checkpoint` what is signed of the tree
//!
//! Reading:
//!
//! * `files`  the files of a log; `scan` reads them on all processors
//! * `verify` whether a log is as it was written; `report` what that found
//! * `prove`  that a record is in the log
//! * `latest` the newest records of a log that is being written
//! * `filter` which records are wanted; `search` finds them; `fields` where a record has what
//! * `answers` which versions there are and who used them
//! * `reconcile` the log and that of Postgres
//! * `table`  records as people see them

mod answers;
mod begin;
mod checkpoint;
mod counts;
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
mod own;
mod parts;
mod prove;
mod queue;
mod reconcile;
mod record;
mod refs;
mod report;
mod scan;
mod seal;
mod search;
mod segment;
mod ship;
mod sink;
mod standing;
mod stdout;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod verify;
mod writer;

pub use answers::{ClientUse, Gap, Held, History, Identified, Rotated, Stay, VersionUse, history};
pub use checkpoint::TreeRef;
pub use fields::is_of_the_log;
pub use files::{Lines, body, of_old_format, segments};
pub use filter::Filter;
pub use handover::{Carry, Passed};
pub use health::Failing;
pub use latest::latest;
pub use log::{Audit, AuditError};
pub use note::PublicKey;
pub use options::{AuditSink, OnAuditFailure, Options, Segments};
pub use parts::{ConfigRef, CredentialRef, IdentityRef, ServerRef, UseRef};
pub use prove::{Unproved, prove};
pub use reconcile::{
    Evidence, Left, LogFormat, PostgresLine, Reconciled, Unreadable, Wanted, read as read_postgres,
    reconcile,
};
pub use record::{Event, Outcome, Record};
pub use refs::{Cause, ClientRef, LeaseTotals, SessionRef, SessionTotals};
pub use report::{Against, Broken, Place, Report, Source};
pub use search::{Found, search};
pub use ship::{Format, Lock, SinkKind, SinkOptions, SinkTrouble, SyslogAddress, What};
pub use table::{printable, table_row};
pub use verify::verify;
