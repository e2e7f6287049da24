//! What is to be rotated, and how.

use std::sync::Arc;
use std::time::Duration;

use super::admins::AdminSecrets;
use super::error::RotationError;
use super::ground::Ground;
use super::roles::alternate;
use super::terminate::Emergency;
use super::value::Document;
use crate::secret::{SecretId, Source, VersionId};
use crate::upstream::Options;

/// How many users a secret has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The secret has one user, whose password changes.
    Single,
    /// Two users that alternate. The password of the one that is not in use any
    /// more stays valid until the next rotation.
    Alternating,
}

impl Strategy {
    /// Every strategy, with the word for it.
    pub const ALL: [(&'static str, Self); 2] =
        [("single", Self::Single), ("alternating", Self::Alternating)];

    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Alternating => "alternating",
        }
    }

    /// The user of the next version, where `user` is that of the current one.
    ///
    /// # Errors
    /// [`RotationError::LongName`]: the name of the alternate would be too long.
    pub(super) fn next_user(self, user: &str) -> Result<String, RotationError> {
        match self {
            Self::Single => Ok(user.to_owned()),
            Self::Alternating => alternate(user),
        }
    }
}

/// What is to be rotated, and how.
#[derive(Clone)]
pub struct Plan {
    pub secret: SecretId,
    /// `None`: alternating where the value of the secret names an admin secret
    /// (`masterarn`), as the rotation functions of AWS have it; otherwise single.
    pub strategy: Option<Strategy>,
    /// The admin secret that the command line or the database names.
    pub admin_secret: Option<SecretId>,
    /// The admin secrets of the configuration.
    pub admin_secrets: Arc<AdminSecrets>,
    /// Send the password in clear text, for a server that checks its strength.
    pub plaintext: bool,
    /// Where the role is, and how to log in there.
    pub database: Arc<Options>,
    /// So many replicas use the new version before the others do.
    pub canary: usize,
    /// Rotate even if another rotator did so while this one waited.
    pub insist: bool,
    /// The version to replace, if that was decided before the rotation began.
    pub instead_of: Option<VersionId>,
    /// How long to wait for the lock of another rotator.
    pub patience: Duration,
    /// End the sessions that logged in with the old password.
    pub emergency: Option<Emergency>,
}

/// The secret of the role that changes the others.
pub(super) struct Admin {
    pub secret: SecretId,
    /// Only the value of the secret to rotate named it, and `admin_secrets` lists
    /// it.
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

    /// The secret of the role that changes the others. A single user needs none,
    /// unless the configuration names one.
    ///
    /// # Errors
    /// [`RotationError::AdminUnlisted`]: the value names an administrator that the
    /// configuration does not list.
    pub(super) async fn admin(
        &self,
        stores: &dyn Source,
        ground: &Ground,
        alternates: bool,
    ) -> Result<Option<Admin>, RotationError> {
        let current = &ground.current;
        let store = self.secret.store();
        let configured = || {
            let arn = &current.credential.arn;
            self.admin_secrets.of(store, &ground.name, arn)
        };
        if let Some(secret) = self.admin_secret.as_ref().or_else(configured) {
            return Ok(Some(Admin {
                secret: secret.clone(),
                by_value: false,
            }));
        }
        let Some(named) = current.document.admin_secret().filter(|_| alternates) else {
            return Ok(None);
        };
        // A value knows nothing of other stores than its own.
        let named = self.secret.beside(named.as_str());
        let unlisted = || RotationError::AdminUnlisted {
            secret: self.secret.clone(),
            name: ground.name.to_string(),
            admin: shown(&named),
        };
        if !self.admin_secrets.may_list(&named) {
            return Err(unlisted());
        }
        // The name in the store decides, because an id may look like that of
        // another secret.
        let described = stores.describe(&named).await?;
        let (name, arn) = (&described.name, &described.arn);
        match self.admin_secrets.lists(store, name, arn) {
            true => Ok(Some(Admin {
                secret: self.secret.beside(arn),
                by_value: true,
            })),
            false => Err(unlisted()),
        }
    }
}

/// An id from a value, fit to be shown: a value may hold anything.
fn shown(named: &SecretId) -> String {
    let printable = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    named.as_str().chars().filter(printable).take(200).collect()
}
