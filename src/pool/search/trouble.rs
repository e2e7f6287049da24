//! What is wrong with the logins of a pool, for people.

use std::sync::Arc;

use super::{Obstacle, Phase, Search, Tried};

/// What the failure says before the first attempt has ended.
pub(super) const NOT_YET: &str = "no login yet";

/// What is wrong with the logins of a pool.
#[derive(Debug, Clone)]
pub enum LoginTrouble {
    /// The server cannot be reached, or lets nobody in.
    Down(Arc<str>),
    /// The server is there, and no version is known that logs in.
    NoneLogsIn(Arc<str>),
    /// Logins do not work yet as a reloaded configuration says.
    NotMoved(Arc<str>),
    /// AWSCURRENT does not log in; the version in force does.
    Refused(Tried),
}

impl Search {
    /// What is wrong; `None` too before the first attempt has ended.
    pub fn trouble(&self) -> Option<LoginTrouble> {
        if let Some(why) = self.problem() {
            return match self.obstacle() {
                _ if *why == *NOT_YET => None,
                Some(Obstacle::NoVersion { .. }) => Some(LoginTrouble::NoneLogsIn(why)),
                _ => Some(LoginTrouble::Down(why)),
            };
        }
        let Phase::Proving { version, .. } = &self.phase else {
            return None;
        };
        let mut tried = self.tried.iter();
        let refused = tried.find(|t| t.version == *version)?;
        Some(LoginTrouble::Refused(refused.clone()))
    }
}
