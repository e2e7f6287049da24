//! Changing the password of a database role, on a schedule, so that a crash at
//! any point leaves something that can be completed.
//!
//! A [`schedule`](crate::secret::schedule) says when, and a [`scheduler`] starts the
//! rotation then; a proxy has one for each secret ([`Rotations`]). A [`Rotator`] carries it out: it looks at the secret
//! ([`ground`]) and goes through the steps of the [`engine`]. What happens in the
//! database is in [`password`], [`roles`] and [`rights`].

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
mod rotations;
mod scheduler;
mod sql;
mod terminate;
mod traced;
mod value;
mod volunteer;

pub use admins::AdminSecrets;
pub use engine::{Ending, PATIENCE, Rotator};
pub use error::{RotationError, SqlError};
pub use options::Rotation;
#[cfg(test)]
pub(crate) use password::Stated;
pub use plan::{Plan, Strategy};
pub use preview::Preview;
pub use report::{Admitted, Observer, RotationReport, Step, StepOutcome, StepReport, Trial};
pub use roles::alternate;
pub use rotations::{Job, Rotated, Rotations};
pub use scheduler::Outlook;
pub use terminate::{Adopted, Emergency};
