//! What is to be rotated, and how.

use std::sync::Arc;
use std::time::Duration;

use super::terminate::Emergency;
use super::value::Document;
use crate::config::Database;
use crate::secret::{SecretId, VersionId};

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
    pub admin_secret: Option<SecretId>,
    /// Send the password in clear, for a server that wants to judge it.
    pub plaintext: bool,
    /// Where the role is, and by which rules to log in there.
    pub database: Arc<Database>,
    /// Rotate even if another rotator just did, while this one waited.
    pub insist: bool,
    /// The version that is to be replaced, where that was decided before.
    pub instead_of: Option<VersionId>,
    pub patience: Duration,
    pub emergency: Option<Emergency>,
}

impl Plan {
    /// The strategy, and the secret of the role that changes the others.
    pub(super) fn how(&self, document: &Document) -> (Strategy, Option<SecretId>) {
        let named = document.admin_secret();
        let by_default = match named {
            Some(_) => Strategy::Alternating,
            None => Strategy::Single,
        };
        let strategy = self.strategy.unwrap_or(by_default);
        let given = self.admin_secret.clone();
        // A single user needs nobody else, unless it was said.
        let admin = match strategy {
            Strategy::Single => given,
            Strategy::Alternating => given.or(named),
        };
        (strategy, admin)
    }
}
