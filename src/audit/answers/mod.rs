//! Answers from the records: which versions there are and who used them, who used one at a time,
//! and what an auditor asks for.
//!
//! * `fact`     what an answer needs of a record
//! * `sessions` the sessions that the records tell of
//! * `usage`    versions, who used them, and who still holds one
//! * `rotations` how rotations ended
//! * `history`  all of these, from the files of a log

mod fact;
mod history;
mod rotations;
mod sessions;
#[cfg(test)]
mod tests;
mod usage;

pub(super) use fact::Fact;
pub use history::{Gap, History, Identified, history};
pub use rotations::Rotated;
pub use sessions::{Held, Stay};
pub use usage::{ClientUse, VersionUse};
