//! What the logins with one version keep for the next one.

use std::sync::Arc;

use super::OldServers;
use super::knock::Answered;
use super::rds_iam::IamToken;
use super::scram::KeyCache;
use super::shortcut::Closed;

/// What the logins with one version of a secret keep for the next one.
#[derive(Default)]
pub struct LoginCache {
    pub(super) keys: KeyCache,
    /// The token of RDS IAM authentication that was made last.
    pub(super) iam: IamToken,
    pub(super) old_servers: Arc<OldServers>,
    pub(super) answered: Answered,
    /// Whether the shortcut to the server has not led to a login with SCRAM.
    pub(super) shortcut: Closed,
}

impl LoginCache {
    /// Starts with a list of servers that only speak protocol 3.0, which logins
    /// with other versions share.
    pub fn with_old_servers(old_servers: Arc<OldServers>) -> Self {
        Self {
            old_servers,
            ..Self::default()
        }
    }
}
