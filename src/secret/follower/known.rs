//! What a follower knows of its secret, and what a look found.

use std::sync::Arc;
use std::time::SystemTime;

use crate::secret::{AWSPENDING, Credential, Labels, Standing, version_with};

/// What is known of a secret.
#[derive(Clone, Default)]
pub struct Known {
    /// The content of AWSCURRENT when it was last readable.
    pub current: Option<Arc<Credential>>,
    /// The time at which the store last confirmed `current`.
    pub confirmed_at: Option<SystemTime>,
    /// Why the last look failed, if it did.
    pub error: Option<Arc<str>>,
    /// The kind of `error`.
    pub(super) failing: Option<&'static str>,
    /// Which version carries which labels; `None` where DescribeSecret is
    /// forbidden.
    pub labels: Option<Arc<Labels>>,
    /// Why AWSPENDING may not be read. Without it a rotation is noticed too
    /// late.
    pub pending_denied: Option<Arc<str>>,
    /// A counter that moves when a person or an event asks for a look.
    pub asked: u64,
}

impl Known {
    /// Whether the last look failed for a reason that may pass by itself.
    pub fn may_recover(&self) -> bool {
        self.failing == Some("unavailable")
    }

    /// The labels of a credential's version as the store last told them; where
    /// it does not tell, as they were when the version was read.
    pub fn stages_of(&self, credential: &Credential) -> Vec<String> {
        match &self.labels {
            Some(labels) => labels.get(&credential.version).cloned().unwrap_or_default(),
            None => credential.stages.clone(),
        }
    }
}

/// Which versions a look asks for. Each level asks for more than the one above
/// it, and costs more calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// AWSCURRENT.
    Current,
    /// AWSPENDING and AWSPREVIOUS as well.
    Labelled,
    /// The newest versions without a label as well.
    All,
}

/// What a look found.
#[derive(Clone)]
pub struct Found {
    pub known: Known,
    /// Versions besides AWSCURRENT, as far as the look went.
    pub others: Vec<(Standing, Arc<Credential>)>,
}

impl Found {
    /// Whether a rotation is under way as far as the store tells: AWSPENDING is on another
    /// version than AWSCURRENT, with a value or without.
    pub fn is_rotating(&self) -> bool {
        let offered = self.others.iter().any(|(s, _)| *s == Standing::Pending);
        let current = self.known.current.as_ref().map(|c| &c.version);
        let labels = self.known.labels.as_deref();
        let pending = labels.and_then(|labels| version_with(labels, AWSPENDING));
        offered || pending.is_some_and(|pending| Some(pending) != current)
    }

    /// What a look found for which AWSCURRENT is still where it was.
    pub(super) fn unchanged(before: Known) -> Self {
        let known = Known {
            confirmed_at: Some(SystemTime::now()),
            error: None,
            failing: None,
            ..before
        };
        Self::only(known)
    }

    /// What a look found that saw AWSCURRENT alone.
    pub(super) fn only(known: Known) -> Self {
        Self {
            known,
            others: Vec::new(),
        }
    }
}
