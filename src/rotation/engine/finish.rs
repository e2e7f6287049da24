//! finishSecret: AWSCURRENT moves to the new version.

use super::{Attempt, Rotator, State};
use crate::rotation::error::RotationError;
use crate::rotation::ground::{self, Version};
use crate::rotation::report::{Step, StepOutcome};
use crate::rotation::sql::Session;
use crate::secret::{AWSCURRENT, AWSPENDING, StoreError};

impl Rotator<'_> {
    /// Moves AWSCURRENT to the new version, if it is still on the old one.
    pub(super) async fn finish(
        &self,
        attempt: &mut Attempt,
        new: Box<Version>,
        changed_at: Option<String>,
    ) -> Result<State, RotationError> {
        let (store, secret) = (self.store, &self.plan.secret);
        let (version, old) = (&new.credential.version, &attempt.old.credential.version);
        let current = ground::holder(store, secret, AWSCURRENT).await?;
        let mut outcome = StepOutcome::Skipped;
        if current.as_ref() != Some(version) {
            if current.as_ref() != Some(old) {
                return Err(RotationError::Superseded(secret.clone()));
            }
            match self.still_pending(version).await {
                Err(RotationError::Lost { .. }) => return Err(self.put_back(attempt, &new).await),
                still => still?,
            }
            let (to, from) = (Some(version.clone()), Some(old.clone()));
            let moved = store.move_label(secret, AWSCURRENT, to, from).await;
            if let Err(e) = moved {
                // The answer may have been lost, not the request.
                let arrived = ground::is_current(store, secret, version).await;
                if !arrived.unwrap_or(false) {
                    return Err(match e {
                        StoreError::InvalidParameter(_) | StoreError::InvalidRequest(_) => {
                            RotationError::Superseded(secret.clone())
                        }
                        e => e.into(),
                    });
                }
            }
            outcome = StepOutcome::Done;
        }
        // AWSPENDING on the current version does no harm, but makes people wonder.
        // Some stores have removed it by themselves.
        let from = Some(version.clone());
        if let Err(e) = store.move_label(secret, AWSPENDING, None, from).await {
            tracing::debug!(%secret, %version, "AWSPENDING was not removed: {e}");
        }
        let detail = format!("version {version} is AWSCURRENT; {old} is AWSPREVIOUS");
        self.report(
            Step::Finish,
            outcome,
            Some(version),
            Some(&attempt.user),
            detail,
        );
        Ok(State::Verify { new, changed_at })
    }

    /// Gives the role the password of the current version back, because another
    /// rotator took AWSPENDING after the new password was set. That rotator knows
    /// only the labelled versions, and none of them would log in.
    async fn put_back(&self, attempt: &mut Attempt, new: &Version) -> RotationError {
        let lost = |then| RotationError::Lost {
            secret: self.plan.secret.clone(),
            then,
        };
        if attempt.user != attempt.source {
            return lost("");
        }
        let limit = self.plan.database.connect_timeout;
        match Session::open(&attempt.target, &new.credential, limit).await {
            Ok(session) => session.close().await,
            // The other rotator has set its own password already.
            Err(_) => return lost(""),
        }
        lost(match self.give_back(attempt).await {
            true => "; the role has the password of AWSCURRENT again",
            false => "; the role could not be given the password of AWSCURRENT: do so by hand",
        })
    }
}
