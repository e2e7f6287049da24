//! Sinks: other places that get the records of a log, or its checkpoints.
//!
//! Each sink has a thread that follows the log's files, so that what a sink has not taken yet
//! waits on the disk, over restarts too, and a slow one holds up nobody.
//!
//! * `options` `[[audit.sink]]`
//! * `tail`    follows the files; `cursor` how far a sink is
//! * `sinks`   all of a log; `shipping` the thread of one: gathers, sends, tries again
//! * `standing` whether a sink takes what it should
//! * `format`  what is sent; `ocsf` the Open Cybersecurity Schema Framework
//! * `target`  where to: `command`, `file`, `otlp`, `s3`, `syslog`

mod command;
mod cursor;
mod file;
mod format;
mod ocsf;
mod options;
mod otlp;
mod s3;
mod shipping;
mod sinks;
mod standing;
mod syslog;
mod tail;
mod target;
#[cfg(test)]
mod tests;

pub use options::{Format, Lock, SinkOptions, SyslogAddress, What};
pub(super) use sinks::{Plan, Sinks};
pub use standing::SinkTrouble;
pub use target::SinkKind;
