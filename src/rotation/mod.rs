//! Changing the password of a database role, on a schedule, so that a crash at
//! any point leaves something that can be completed.
//!
//! A [`schedule`](crate::secret::schedule) says when, and a [`Scheduler`] sees to it; [`Rotator`] does it: it finds its [`ground`], and
//! goes through the steps of the [`engine`], with [`roles`] and [`rights`] for
//! what happens in the database.

mod admins;
mod engine;
mod error;
mod ground;
mod lock;
mod options;
mod password;
mod plan;
mod preview;
mod report;
mod rights;
mod roles;
mod scheduler;
mod sql;
mod terminate;
mod value;

pub use admins::AdminSecrets;
pub use engine::{Ending, PATIENCE, Rotator};
pub use error::{RotationError, SqlError};
pub use options::Rotation;
#[cfg(test)]
pub(crate) use password::Stated;
pub use plan::{Plan, Strategy};
pub use preview::Preview;
pub use report::{Listener, Step, StepOutcome, StepReport};
pub use scheduler::{Next, Scheduler};
pub use terminate::{Adopted, Emergency};
