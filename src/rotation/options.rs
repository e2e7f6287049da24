//! How one secret is rotated.

use super::Strategy;
use crate::secret::SecretId;
use crate::secret::schedule::Schedule;

/// `rotation = { … }` of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// `None`: only when somebody asks for it.
    pub schedule: Option<Schedule>,
    /// `None`: alternating where the secret names an admin secret, else single.
    pub strategy: Option<Strategy>,
    pub admin_secret: Option<SecretId>,
    /// The new password is sent in clear, not as a verifier.
    pub plaintext: bool,
}
