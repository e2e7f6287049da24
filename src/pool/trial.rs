//! A version that the pool uses before it is AWSCURRENT, because a rotation tries it here first.
//!
//! While the trial lasts, the version counts as the current one: it is proved, adopted and used
//! like that. The trial is over as soon as AWSCURRENT is another version than when it began, as it
//! is when the rotation ends; or when the rotation takes it back, and then the pool returns to
//! AWSCURRENT, which it adopts like any other version.

use std::sync::Arc;

use super::state::State;
use super::{Pool, PoolCounts};
use crate::secret::{Credential, VersionId};

/// A version on trial.
pub(super) struct Trial {
    credential: Arc<Credential>,
    /// AWSCURRENT when the trial began.
    instead_of: Option<VersionId>,
}

/// How a trial stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnTrial {
    /// The version has not logged in yet; why its last login failed, if one did.
    NotYet(Option<Arc<str>>),
    /// It is in force, and logins work.
    InForce,
    /// It has been in force, and logins with it have failed since.
    Failed(Arc<str>),
}

impl Pool {
    /// Uses a version before it is AWSCURRENT.
    pub fn begin_trial(&self, credential: Arc<Credential>) {
        let current = self.follower.known().current;
        self.state().trial = Some(Trial {
            credential,
            instead_of: current.map(|c| c.version.clone()),
        });
        self.wake.notify_one();
    }

    /// Returns to AWSCURRENT. Without a trial of this version, nothing changes.
    pub fn end_trial(&self, version: &VersionId) {
        let mut state = self.state();
        let is_its = |trial: &Trial| trial.credential.version == *version;
        if state.trial.take_if(|trial| is_its(trial)).is_some() {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// How the trial of a version stands. `adopted`: it has been in force before.
    pub fn on_trial(&self, version: &VersionId, adopted: bool) -> OnTrial {
        let counts = self.counts();
        let why = || {
            let tried = counts.tried.iter().find(|t| t.version == *version);
            let why = tried.map(|t| t.why.clone());
            why.or_else(|| counts.problem.clone())
        };
        match in_force(&counts) == Some(version) && counts.problem.is_none() {
            true => OnTrial::InForce,
            false if adopted => OnTrial::Failed(
                why().unwrap_or_else(|| "another version is in force by now".into()),
            ),
            false => OnTrial::NotYet(why()),
        }
    }

    /// The version that is to be in force: AWSCURRENT, or the one on trial.
    pub(super) fn wanted(&self, state: &mut State) -> Option<Arc<Credential>> {
        let current = self.follower.known().current;
        let known = current.as_ref().map(|c| &c.version);
        match &state.trial {
            Some(trial) if trial.instead_of.as_ref() == known => Some(trial.credential.clone()),
            _ => {
                state.trial = None;
                current
            }
        }
    }

    /// Whether a version is on trial.
    pub fn is_on_trial(&self, version: &VersionId) -> bool {
        let state = self.state();
        let trial = state.trial.as_ref();
        trial.is_some_and(|t| t.credential.version == *version)
    }
}

fn in_force(counts: &PoolCounts) -> Option<&VersionId> {
    Some(&counts.in_force()?.generation.credential.version)
}
