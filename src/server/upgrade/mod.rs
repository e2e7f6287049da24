//! Replacing the running process by another one, which goes on with its listening sockets
//! (docs/UPGRADE.md).
//!
//! * `old`     the process that is replaced
//! * `new`     the process that replaces it
//! * `turn`    whether a process is one of these
//! * `link`    what each does for the other
//! * `message` what they say
//! * `steer`   what an administrator does in the new one, for the sessions of the old one
//! * `program` which program the new process runs

mod link;
pub(super) mod message;
mod new;
mod old;
mod program;
mod steer;
mod turn;

pub(super) use new::Before;
pub use new::Predecessor;
pub(super) use old::upgrade;
pub(super) use turn::Upgrades;
