//! The records of the process, and those that the log writes of itself.

use super::checkpoint::TreeRef;
use super::parts::ConfigRef;
use super::record::{Event, Outcome, Record};

impl Record {
    /// The proxy has started, with this configuration.
    pub fn start(config: ConfigRef) -> Self {
        Self {
            config: Some(config.into()),
            ..Self::new(Event::Start)
        }
    }

    /// A new configuration is in force.
    pub fn reload(config: ConfigRef) -> Self {
        Self {
            outcome: Some(Outcome::Success),
            config: Some(config.into()),
            ..Self::new(Event::Reload)
        }
    }

    /// What the log has signed; `why` a file begins here, if it was not pgvalet that began it.
    pub(super) fn checkpoint(tree: TreeRef, why: Option<&str>) -> Self {
        Self {
            reason: why.map(Into::into),
            tree: Some(Box::new(tree)),
            ..Self::new(Event::Checkpoint)
        }
    }

    /// Records may be missing before this one.
    pub(super) fn gap(reason: &str) -> Self {
        Self {
            outcome: Some(Outcome::Failure),
            reason: Some(reason.into()),
            ..Self::new(Event::Gap)
        }
    }

    /// The process that this one has replaced ended without warning, while it had sessions.
    pub fn process_lost(pid: &str) -> Self {
        let reason = format!(
            "process {pid}, which this one has replaced, ended without warning, and its sessions with it"
        );
        Self::gap(&reason)
    }

    /// The records up to `last` are removed, because they are old enough.
    pub(super) fn segment_remove(reason: &str, last: u64) -> Self {
        Self {
            reason: Some(reason.into()),
            removed: Some(last),
            ..Self::new(Event::SegmentRemove)
        }
    }
}
