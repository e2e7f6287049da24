//! Changing the password of a database role, on a schedule, so that a crash at
//! any point leaves something that can be completed.
//!
//! [`schedule`] says when.

mod cron;
pub mod schedule;
#[cfg(test)]
mod tests;

pub use schedule::{Schedule, ScheduleError, Window};
