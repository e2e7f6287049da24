//! The canary: some replicas use the new version before AWSCURRENT moves, and so before the
//! others follow. If that does not go well, everything is as it was before.

use super::{Attempt, Rotator, State};
use crate::rotation::error::RotationError;
use crate::rotation::ground::Version;
use crate::rotation::report::{Step, StepOutcome};

impl Rotator<'_> {
    /// Has the pools of this process use the new version for a while, and then those of so many
    /// others.
    pub(super) async fn canary(
        &self,
        attempt: &mut Attempt,
        new: Box<Version>,
        changed_at: Option<String>,
    ) -> Result<State, RotationError> {
        let version = &new.credential.version;
        let here = match self.observer.try_out(&new.credential).await {
            None => None,
            Some(Ok(how)) => Some(how),
            Some(Err(why)) => return Err(self.take_back(attempt, &new, why).await),
        };
        let seats = self.plan.canary - usize::from(here.is_some());
        // Replicas that look once a minute would take no seat in time.
        let elsewhere = match seats > 0 && self.store.changes().is_some() {
            true => {
                let old = attempt.old.credential.version.clone();
                match self.seats(seats, &old, version).await {
                    Ok(elsewhere) => elsewhere,
                    Err(why) => return Err(self.take_back(attempt, &new, why).await),
                }
            }
            false => 0,
        };
        let outcome = match here.is_some() || elsewhere > 0 {
            true => StepOutcome::Done,
            false => StepOutcome::Skipped,
        };
        let mut said: Vec<String> = here.into_iter().collect();
        said.extend(match elsewhere {
            0 if seats > 0 => Some("no other replica has tried it".to_owned()),
            0 => None,
            1 => Some("one other replica has used it".to_owned()),
            n => Some(format!("{n} other replicas have used it")),
        });
        let user = Some(&attempt.user);
        self.report(Step::Canary, outcome, Some(version), user, said.join("; "));
        Ok(State::Finish { new, changed_at })
    }

    /// Gives a single user its old password back. Nobody but canaries uses an alternate.
    async fn take_back(&self, attempt: &mut Attempt, new: &Version, why: String) -> RotationError {
        let alternates = attempt.user != attempt.source;
        let then = match alternates || self.give_back(attempt).await {
            true if alternates => "AWSCURRENT stays where it is",
            true => "the role has the password of AWSCURRENT again",
            false => {
                "the role could not be given the password of AWSCURRENT, so that the next attempt completes the rotation"
            }
        };
        self.observer.put_back(&new.credential);
        RotationError::Canary {
            secret: self.plan.secret.clone(),
            why,
            then,
        }
    }
}
