//! How one secret is rotated.

use super::Strategy;
use crate::secret::SecretId;
use crate::secret::schedule::{Freezes, Schedule};

/// The key `rotation = { … }` of a database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// `None`: the secret is rotated only when somebody asks for it.
    pub schedule: Option<Schedule>,
    /// When the schedule starts nothing.
    pub freeze: Freezes,
    /// What the schedule starts waits until a person has approved it.
    pub approve: bool,
    /// So many replicas use a new version before the others do.
    pub canary: usize,
    /// `None`: alternating where the secret names an admin secret, single otherwise.
    pub strategy: Option<Strategy>,
    pub admin_secret: Option<SecretId>,
    /// Send the new password in clear text instead of a verifier.
    pub plaintext: bool,
}
