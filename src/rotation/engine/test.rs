//! testSecret: the new password logs in, and may do what the old one may.

use super::{Attempt, Rotator, State};
use crate::rotation::error::RotationError;
use crate::rotation::ground::Version;
use crate::rotation::report::{Step, StepOutcome};
use crate::rotation::rights::Rights;
use crate::rotation::sql::Session;

impl Rotator<'_> {
    /// Logs in with the new password and compares what that login may do with what
    /// the old one may.
    pub(super) async fn test(
        &self,
        attempt: &mut Attempt,
        new: Box<Version>,
        changed_at: Option<String>,
    ) -> Result<State, RotationError> {
        let limit = self.plan.database.connect_timeout;
        let pair = [attempt.source.as_str(), attempt.user.as_str()];
        let mut session = Session::open(&attempt.target, &new.credential, limit).await?;
        let mut rights = Rights::of(&mut session, pair).await?;
        if !attempt.rights.beyond(&rights).is_empty() {
            // Somebody may have created or dropped something between the two looks.
            let old = &attempt.old.credential;
            if let Ok(mut again) = Session::open(&attempt.target, old, limit).await {
                attempt.rights = Rights::of(&mut again, pair).await?;
                again.close().await;
            }
            rights = Rights::of(&mut session, pair).await?;
        }
        session.close().await;
        let missing = attempt.rights.beyond(&rights);
        if !missing.is_empty() {
            return Err(RotationError::Less {
                user: attempt.user.clone(),
                than: attempt.source.clone(),
                missing,
            });
        }
        let more = rights.beyond(&attempt.rights);
        let detail = match more.len() {
            0 => format!(
                "the new password logs in and may do the same: {}",
                rights.summary()
            ),
            n => format!(
                "the new password logs in and may do the same and more ({n}: {}): {}",
                more.iter().take(3).cloned().collect::<Vec<_>>().join("; "),
                rights.summary()
            ),
        };
        let version = &new.credential.version;
        self.report(
            Step::Test,
            StepOutcome::Done,
            Some(version),
            Some(&attempt.user),
            detail,
        );
        Ok(match self.plan.canary {
            0 => State::Finish { new, changed_at },
            _ => State::Canary { new, changed_at },
        })
    }
}
