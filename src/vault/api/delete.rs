//! DeleteSecret, RestoreSecret.

use super::authorize::Asked;
use super::call::{Call, Operation};
use super::secrets::Named;
use super::shapes::{Epoch, answer, request};
use super::{ApiError, Check};
use crate::secret::Deletion;
use crate::vault::{VaultError, delete};

request!(DeleteSecret {
    id: String = "SecretId",
    days: i64 = "RecoveryWindowInDays",
    force: bool = "ForceDeleteWithoutRecovery",
});

answer!(Deleted {
    name: String = "Name",
    at: Epoch = "DeletionDate";
    arn: String = "ARN",
});

impl Operation for DeleteSecret {
    type Answer = Deleted;
    const NAME: &'static str = "DeleteSecret";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Deleted, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME)
            .with("secretsmanager:SecretId", Some(&id))
            .with("secretsmanager:RecoveryWindowInDays", self.days)
            .with("secretsmanager:ForceDeleteWithoutRecovery", self.force);
        if let Some(days) = self.days {
            delete::check_window(days)?;
        }
        let how = match (self.force.unwrap_or(false), self.days) {
            (true, Some(_)) => {
                return Err(VaultError::InvalidParameter(
                    "You can't use ForceDeleteWithoutRecovery in conjunction with \
                     RecoveryWindowInDays."
                        .into(),
                )
                .into());
            }
            (true, None) => Deletion::Now,
            (false, days) => Deletion::Window {
                days: days.and_then(|d| u32::try_from(d).ok()).unwrap_or(30),
            },
        };
        let secret = match call.secret(&asked, &id) {
            Ok(secret) => secret,
            // A secret that is not there is already deleted.
            Err(e) if how == Deletion::Now && e.kind == "ResourceNotFoundException" => {
                return Ok(Deleted {
                    arn: None,
                    name: id,
                    at: Epoch(call.tx.now),
                });
            }
            Err(e) => return Err(e),
        };
        let at = delete::delete(call.tx, &secret, how)?;
        Ok(Deleted {
            arn: Some(secret.arn),
            name: secret.name,
            at: Epoch(at),
        })
    }
}

request!(RestoreSecret {
    id: String = "SecretId",
});

impl Operation for RestoreSecret {
    type Answer = Named;
    const NAME: &'static str = "RestoreSecret";
    const WRITES: bool = true;

    fn check(&self, check: &mut Check) {
        check.secret_id(self.id.as_ref());
    }

    fn run(self, call: &Call<'_>) -> Result<Named, ApiError> {
        let id = self.id.unwrap_or_default();
        let asked = Asked::new(Self::NAME).with("secretsmanager:SecretId", Some(&id));
        let secret = call.secret(&asked, &id)?;
        delete::restore(call.tx, &secret)?;
        Ok(secret.into())
    }
}
