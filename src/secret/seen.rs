//! Versions of a secret that a store has shown so far, for stores that show only
//! the latest.
//!
//! A rotation that arrives late or in two parts does no harm as long as what came before it can be
//! used. So the last few versions stay in memory, and carry the labels that they would have in
//! Secrets Manager.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::{AWSCURRENT, AWSPREVIOUS, Labels, VersionId};

/// The versions that are kept: AWSCURRENT, AWSPREVIOUS, and as many without a label as a search
/// tries.
const KEEP: usize = 7;

/// A version. Deliberately without `Debug`.
#[derive(Clone)]
pub struct Version<T> {
    pub id: VersionId,
    pub content: T,
    /// The time at which it became AWSCURRENT.
    pub since: SystemTime,
}

/// The versions seen, the latest first.
pub struct Seen<T>(VecDeque<Version<T>>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Clone> Seen<T> {
    /// Notes what the store shows now. Content that was there before becomes AWSCURRENT again, as
    /// the same version.
    pub fn show(&mut self, id: VersionId, content: T) {
        if self.0.front().is_some_and(|v| v.id == id) {
            return;
        }
        self.0.retain(|v| v.id != id);
        self.0.push_front(Version {
            id,
            content,
            since: SystemTime::now(),
        });
        self.0.truncate(KEEP);
    }

    pub fn current(&self) -> Option<&Version<T>> {
        self.0.front()
    }

    /// A version with its labels.
    pub fn get(&self, id: &VersionId) -> Option<(&Version<T>, Vec<String>)> {
        let (n, version) = self.0.iter().enumerate().find(|(_, v)| v.id == *id)?;
        Some((version, labels_of(n)))
    }

    /// The version that a label points at.
    pub fn labelled(&self, label: &str) -> Option<(&Version<T>, Vec<String>)> {
        let n = match label {
            AWSCURRENT => 0,
            AWSPREVIOUS => 1,
            _ => return None,
        };
        Some((self.0.get(n)?, labels_of(n)))
    }

    /// The versions that carry labels.
    pub fn labels(&self) -> Labels {
        let labelled = self.0.iter().enumerate().take(2);
        labelled
            .map(|(n, v)| (v.id.clone(), labels_of(n)))
            .collect()
    }

    /// The ids of all versions, the latest first.
    pub fn ids(&self) -> Vec<VersionId> {
        self.0.iter().map(|v| v.id.clone()).collect()
    }
}

/// The labels of the `n`th latest version.
fn labels_of(n: usize) -> Vec<String> {
    match n {
        0 => vec![AWSCURRENT.to_owned()],
        1 => vec![AWSPREVIOUS.to_owned()],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(seen: &Seen<&'static str>) -> String {
        let ids = seen.ids();
        ids.iter().map(VersionId::as_str).collect()
    }

    #[test]
    fn the_last_ones_are_kept_and_labelled() {
        let mut seen = Seen::default();
        assert!(seen.current().is_none() && seen.labels().is_empty());
        for id in ["a", "b", "b", "c"] {
            seen.show(VersionId::new(id), id);
        }
        assert_eq!(ids(&seen), "cba");
        let content = |label| seen.labelled(label).map(|(v, _)| v.content);
        assert_eq!(
            [AWSCURRENT, AWSPREVIOUS, "AWSPENDING"].map(content),
            [Some("c"), Some("b"), None]
        );
        let labels = seen.get(&VersionId::new("a")).map(|(_, labels)| labels);
        assert_eq!(labels, Some(Vec::new()));
        assert_eq!(seen.labels().len(), 2);
        // A version comes back.
        seen.show(VersionId::new("a"), "a");
        assert_eq!(ids(&seen), "acb");
        for id in ["d", "e", "f", "g", "h", "i"] {
            seen.show(VersionId::new(id), id);
        }
        assert_eq!(ids(&seen), "ihgfeda");
    }
}
