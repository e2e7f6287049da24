//! A step of the search: what the manager tells it, and what the manager is to do next.

use std::sync::Arc;
use std::time::Duration;

use super::round::{Candidate, Tried};
use crate::secret::{Depth, Standing, VersionId};

/// What the manager tells the search.
#[derive(Debug)]
pub(in crate::pool) enum Input {
    /// How things stand: on every wake-up.
    Observed {
        in_force: Option<VersionId>,
        current: Option<VersionId>,
    },
    /// The store was asked. `failure`: why it has no version to offer; `more`: it may have one
    /// all the same, because it did not answer, or because a rotation is under way.
    LookedUp {
        depth: Depth,
        candidates: Vec<Candidate>,
        failure: Option<Arc<str>>,
        more: bool,
    },
    /// The login that was asked for has failed.
    Failed(Tried),
    /// No login was made: the pool is full, which `why` says, or the version is
    /// not on offer any more.
    Untried {
        why: Option<Arc<str>>,
    },
    /// A version or a label is new, or somebody asks to try now.
    News,
    PauseOver,
}

impl Input {
    /// Why there was no login, where that is worth telling.
    pub fn why(&self) -> Option<&Arc<str>> {
        match self {
            Self::Failed(tried) => Some(&tried.why),
            Self::Untried { why } => why.as_ref(),
            _ => None,
        }
    }
}

/// What the manager is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) enum Action {
    /// Nothing to do until something happens.
    Rest,
    LookUp(Depth),
    Probe(VersionId, Standing),
    /// Nothing to do for so long, unless there is news.
    Pause(Duration),
}
