//! Versions of a secret in memory, kept no longer than they are needed.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Credential, Labels, VersionId};

/// How long a version that no label points at is kept after it was last asked
/// for: as long as a search for one that logs in may ask again.
const KEEP_UNLABELLED: Duration = Duration::from_secs(30);

/// Why a version is worth trying, the most trusted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// The version in force: the last one that logged in.
    LastGood,
    /// The version that last logged in at the server which refuses now: that
    /// server may lag behind, or a failover may have taken a password back.
    Remembered,
    Current,
    Pending,
    Previous,
    /// A version without a label: a rotation that was cancelled or overtaken leaves its password in
    /// one.
    Unlabelled,
}

impl Standing {
    /// A word for audit records and the status.
    pub fn name(self) -> &'static str {
        match self {
            Self::LastGood => "last good",
            Self::Remembered => "remembered",
            Self::Current => "AWSCURRENT",
            Self::Pending => "AWSPENDING",
            Self::Previous => "AWSPREVIOUS",
            Self::Unlabelled => "unlabelled",
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Credentials by version.
#[derive(Default)]
pub(super) struct Versions(HashMap<VersionId, Kept>);

struct Kept {
    credential: Arc<Credential>,
    /// The time at which it was last asked for, if it was fetched although it has no label.
    unlabelled_used: Option<Instant>,
}

impl Versions {
    pub fn get(&self, version: &VersionId) -> Option<Arc<Credential>> {
        self.0.get(version).map(|kept| kept.credential.clone())
    }

    /// Does what `get` does, and keeps an unlabelled version for another while.
    pub fn reuse(&mut self, version: &VersionId, standing: Standing) -> Option<Arc<Credential>> {
        let kept = self.0.get_mut(version)?;
        if standing == Standing::Unlabelled {
            kept.unlabelled_used = Some(Instant::now());
        }
        Some(kept.credential.clone())
    }

    pub fn add(&mut self, credential: Arc<Credential>, standing: Standing) {
        // A label points at one version only, so a version that was last seen
        // with one of these labels has lost it.
        let stages = &credential.stages;
        self.0
            .retain(|_, k| !k.credential.stages.iter().any(|s| stages.contains(s)));
        let unlabelled_used = (standing == Standing::Unlabelled).then(Instant::now);
        let kept = Kept {
            credential: credential.clone(),
            unlabelled_used,
        };
        self.0.insert(credential.version.clone(), kept);
    }

    /// Forgets versions that are no longer needed, so that their passwords do not
    /// stay in memory.
    pub fn forget(&mut self, labels: &Labels) {
        self.0.retain(|version, kept| {
            labels.contains_key(version)
                || kept
                    .unlabelled_used
                    .is_some_and(|at| at.elapsed() < KEEP_UNLABELLED)
        });
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
