//! The last look: the old password is refused, and where that was asked for,
//! its sessions end.

use super::{Attempt, Rotator, State};
use crate::rotation::error::RotationError;
use crate::rotation::ground::Version;
use crate::rotation::report::{Step, StepOutcome};
use crate::rotation::sql::Session;
use crate::rotation::terminate::{self, Emergency, Sessions};
use crate::secret::VersionId;

impl Rotator<'_> {
    /// Checks that the old password of a single user is refused. The old password of an alternate
    /// stays valid until the next rotation.
    pub(super) async fn verify(
        &self,
        attempt: &mut Attempt,
        new: Box<Version>,
        changed_at: Option<String>,
    ) -> Result<State, RotationError> {
        let version = new.credential.version.clone();
        let limit = self.plan.database.connect_timeout;
        let old = &attempt.old.credential;
        let detail = if attempt.user != attempt.source {
            format!(
                "\"{}\" stays valid until the next rotation, which changes its password",
                attempt.source
            )
        } else {
            match Session::open(&attempt.target, old, limit).await {
                Ok(session) => {
                    session.close().await;
                    return Err(RotationError::OldStillWorks(attempt.user.clone()));
                }
                Err(e) if e.is_authentication() => "the old password is refused".to_owned(),
                Err(e) => return Err(RotationError::Unverified(self.plan.secret.clone(), e)),
            }
        };
        self.report(
            Step::Verify,
            StepOutcome::Done,
            Some(&version),
            Some(&attempt.user),
            detail,
        );
        if let Some(emergency) = &self.plan.emergency {
            self.end_old_sessions(attempt, &version, changed_at.as_deref(), emergency)
                .await?;
        }
        Ok(State::Done { version })
    }

    /// Ends the sessions of the user that left, or those that logged in with the
    /// old password, and takes the password of a user that left.
    async fn end_old_sessions(
        &self,
        attempt: &mut Attempt,
        version: &VersionId,
        changed_at: Option<&str>,
        emergency: &Emergency,
    ) -> Result<(), RotationError> {
        let source = &attempt.source;
        let alternates = attempt.user != *source;
        let tell = |outcome, detail: String| {
            self.report(
                Step::Terminate,
                outcome,
                Some(version),
                Some(source),
                detail,
            );
        };
        let mut own;
        let (session, before) = match alternates {
            // A user may end its own sessions; the administrator may not have the
            // right to end those of others.
            true => {
                let (old, limit) = (&attempt.old.credential, self.plan.database.connect_timeout);
                own = Session::open(&attempt.target, old, limit).await?;
                own.administer().await?;
                (&mut own, None)
            }
            false => (&mut attempt.session, changed_at),
        };
        let sessions = Sessions {
            user: source,
            before,
        };
        let of = (&self.plan.secret, version);
        terminate::old_sessions(session, sessions, of, emergency, &tell).await?;
        if alternates {
            terminate::disable_password(&mut attempt.session, source).await?;
            let text = format!("\"{source}\" has no password until the next rotation");
            tell(StepOutcome::Done, text);
        }
        Ok(())
    }
}
