//! createSecret: a new password, in the store before it is in the database.

use tokio::time::sleep;

use super::{Attempt, EXCLUDED, LOOKS, PAUSE, Rotator, State};
use crate::rotation::error::RotationError;
use crate::rotation::ground;
use crate::rotation::report::{Step, StepOutcome};
use crate::secret::{AWSPENDING, RandomPassword, SecretValue, VersionId};

impl Rotator<'_> {
    /// Makes a new password and stores it under AWSPENDING.
    pub(super) async fn create(
        &self,
        attempt: &Attempt,
        token: Option<VersionId>,
    ) -> Result<State, RotationError> {
        let (store, secret) = (self.store, &self.plan.secret);
        let token = token.unwrap_or_else(|| VersionId::new(uuid::Uuid::new_v4().to_string()));
        let options = RandomPassword {
            exclude_characters: EXCLUDED.to_owned(),
            ..RandomPassword::default()
        };
        let password = store.random_password(options).await?;
        let value = attempt.old.document.with(&attempt.user, &password);
        let labels = vec![AWSPENDING.to_owned()];
        store
            .put(secret, value.clone(), labels.clone(), Some(token.clone()))
            .await?;
        // A rotator that does not use the lock may have been faster.
        self.still_pending(&token).await?;
        let value = SecretValue {
            arn: attempt.old.credential.arn.clone(),
            name: secret.as_str().into(),
            version: token.clone(),
            stages: labels,
            created: None,
            value,
        };
        let new = Box::new(ground::parse(secret, &value)?);
        self.report(
            Step::Create,
            StepOutcome::Done,
            Some(&token),
            Some(&attempt.user),
            "a new password is in the store, pending".to_owned(),
        );
        Ok(State::Set { new })
    }

    /// Checks that a version carries AWSPENDING, several times, because some
    /// stores are only eventually consistent.
    pub(super) async fn still_pending(&self, token: &VersionId) -> Result<(), RotationError> {
        for look in 0..LOOKS {
            if look > 0 {
                sleep(PAUSE).await;
            }
            let holder = ground::holder(self.store, &self.plan.secret, AWSPENDING).await?;
            if holder.as_ref() == Some(token) {
                return Ok(());
            }
        }
        Err(RotationError::Lost {
            secret: self.plan.secret.clone(),
            then: "",
        })
    }
}
