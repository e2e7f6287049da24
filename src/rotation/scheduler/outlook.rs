//! What a scheduler expects, for others to read, and what a person has approved.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::rotation::RotationError;
use crate::secret::VersionId;

/// What a scheduler expects of its secret.
#[derive(Debug, Clone, Default)]
pub struct Outlook {
    /// When the next rotation starts. Empty where there is no schedule, or where
    /// somebody else rotates.
    pub at: Option<DateTime<Utc>>,
    /// Why the last attempt failed, if none has succeeded since.
    pub failure: Option<Arc<str>>,
    /// The rotation is due, and nobody has approved of it.
    pub unapproved: bool,
}

/// The outlook of one secret, which its scheduler keeps up to date.
#[derive(Clone, Default)]
pub struct Next(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    woken: Notify,
}

#[derive(Default)]
struct State {
    outlook: Outlook,
    /// The version that the next rotation of the schedule replaces.
    version: Option<VersionId>,
    /// The version that a person has approved to replace.
    approved: Option<VersionId>,
}

impl Next {
    /// The outlook for the scheduler that goes on with the secret: it has what was approved.
    pub(in crate::rotation) fn heir(&self) -> Self {
        let heir = Self::default();
        let approved = self.0.state.lock().approved.clone();
        heir.0.state.lock().approved = approved;
        heir
    }

    pub fn get(&self) -> Outlook {
        self.0.state.lock().outlook.clone()
    }

    pub(super) fn set(&self, at: Option<DateTime<Utc>>) {
        self.0.state.lock().outlook.at = at;
    }

    /// Notes that an attempt has failed. Another rotator at work is no failure.
    pub(super) fn fails(&self, error: &RotationError) {
        if error.kind() == "elsewhere" {
            return;
        }
        self.0.state.lock().outlook.failure = Some(error.to_string().into());
    }

    pub(super) fn works(&self) {
        self.0.state.lock().outlook.failure = None;
    }

    /// Notes which version the next rotation of the schedule replaces.
    pub(super) fn expects(&self, version: &VersionId) {
        let mut state = self.0.state.lock();
        state.outlook.unapproved = false;
        state.version = Some(version.clone());
    }

    /// Whether a person has approved of the rotation that replaces this version, and is due.
    pub(super) fn is_approved(&self, version: &VersionId) -> bool {
        self.expects(version);
        let mut state = self.0.state.lock();
        let approved = state.approved.as_ref() == Some(version);
        state.outlook.unapproved = !approved;
        approved
    }

    /// Approves of the next rotation of the schedule.
    pub(in crate::rotation) fn approve(&self) -> Result<(), &'static str> {
        let mut state = self.0.state.lock();
        let version = state.version.clone();
        let version = version.ok_or("no rotation is planned by its schedule")?;
        state.approved = Some(version);
        state.outlook.unapproved = false;
        self.0.woken.notify_one();
        Ok(())
    }

    /// Waits until a person approves of something.
    pub(super) async fn approved(&self) {
        self.0.woken.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reload that changes how a secret's database is logged in to once forgot it.
    #[test]
    fn what_was_approved_goes_on_with_the_next_scheduler() {
        let [version, other] = ["a", "b"].map(VersionId::new);
        let next = Next::default();
        assert!(next.approve().is_err(), "nothing is planned");
        next.expects(&version);
        next.approve().expect("planned");
        let heir = next.heir();
        assert!(heir.is_approved(&version) && !heir.is_approved(&other));
        assert!(heir.get().unapproved && !next.get().unapproved);
    }
}
