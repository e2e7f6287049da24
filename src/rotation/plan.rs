//! What is to be rotated, and how.

use std::sync::Arc;
use std::time::Duration;

use super::admins::AdminSecrets;
use super::error::RotationError;
use super::ground::Ground;
use super::terminate::Emergency;
use super::value::Document;
use crate::secret::{SecretId, Source, VersionId};
use crate::upstream::Options;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// One user whose password changes.
    Single,
    /// Two users that take turns; the one that leaves stays valid until the
    /// next rotation.
    Alternating,
}

impl Strategy {
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Alternating => "alternating",
        }
    }
}

/// What is to be rotated, and how.
#[derive(Clone)]
pub struct Plan {
    pub secret: SecretId,
    /// `None`: alternating where the secret names an admin secret (masterarn),
    /// as with the functions of AWS; else single.
    pub strategy: Option<Strategy>,
    /// Said for this secret, by whoever asks or beside its database.
    pub admin_secret: Option<SecretId>,
    /// Which secrets administer which, as the configuration has it.
    pub admin_secrets: Arc<AdminSecrets>,
    /// Send the password in clear, for a server that wants to judge it.
    pub plaintext: bool,
    /// Where the role is, and by which rules to log in there.
    pub database: Arc<Options>,
    /// Rotate even if another rotator just did, while this one waited.
    pub insist: bool,
    /// The version that is to be replaced, where that was decided before.
    pub instead_of: Option<VersionId>,
    pub patience: Duration,
    pub emergency: Option<Emergency>,
}

/// Who changes the roles of others.
pub(super) struct Admin {
    pub secret: SecretId,
    /// The value of the secret to rotate named it, and a list let it pass.
    pub by_value: bool,
}

impl Plan {
    pub(super) fn strategy(&self, document: &Document) -> Strategy {
        let by_default = match document.admin_secret() {
            Some(_) => Strategy::Alternating,
            None => Strategy::Single,
        };
        self.strategy.unwrap_or(by_default)
    }

    /// The secret of the role that changes the others. A single user needs
    /// nobody else, unless it was said.
    ///
    /// # Errors
    /// [`RotationError::AdminUnlisted`]: the value names one that it may not.
    pub(super) async fn admin(
        &self,
        store: &dyn Source,
        ground: &Ground,
        alternates: bool,
    ) -> Result<Option<Admin>, RotationError> {
        let current = &ground.current;
        let configured = || self.admin_secrets.of(&ground.name, &current.credential.arn);
        if let Some(secret) = self.admin_secret.as_ref().or_else(configured) {
            return Ok(Some(Admin {
                secret: secret.clone(),
                by_value: false,
            }));
        }
        let Some(named) = current.document.admin_secret().filter(|_| alternates) else {
            return Ok(None);
        };
        let unlisted = || RotationError::AdminUnlisted {
            secret: self.secret.clone(),
            name: ground.name.to_string(),
            admin: shown(&named),
        };
        if !self.admin_secrets.may_list(&named) {
            return Err(unlisted());
        }
        // By what the store calls it: an id may look like that of another.
        let described = store.describe(&named).await?;
        match self.admin_secrets.lists(&described.name, &described.arn) {
            true => Ok(Some(Admin {
                secret: SecretId::new(described.arn),
                by_value: true,
            })),
            false => Err(unlisted()),
        }
    }
}

/// What stands in a value may be anything.
fn shown(named: &SecretId) -> String {
    let printable = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    named.as_str().chars().filter(printable).take(200).collect()
}
