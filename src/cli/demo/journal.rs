//! The rotations so far, and what became of them.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::admin::Status;

/// Which of the two steps of a rotation goes first. Both happen in practice:
/// rotation functions change the password before they move the label, people
/// often do the reverse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    PasswordFirst,
    LabelFirst,
}

impl Order {
    pub fn of(rotation: usize) -> Self {
        if rotation % 2 == 1 {
            Self::PasswordFirst
        } else {
            Self::LabelFirst
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::PasswordFirst => "password first",
            Self::LabelFirst => "label first",
        }
    }
}

/// Times are since the clients started.
#[derive(Debug, Clone)]
pub struct Rotation {
    pub order: Order,
    /// VersionId of the version it replaces.
    pub from: String,
    /// Both the password and the label are the new one's.
    pub in_place: Option<Duration>,
    pub adopted: Option<Duration>,
    pub drained: Option<Duration>,
    /// Adopted or given up.
    pub over: bool,
}

impl Rotation {
    /// The time from when adoption was possible until every pool had the new version in force. A
    /// version whose label moves first cannot be adopted before the password has changed.
    pub fn adoption(&self) -> Option<Duration> {
        Some(self.adopted?.saturating_sub(self.in_place?))
    }

    /// The time from adoption to the end of the last connection of the old version.
    pub fn drain(&self) -> Option<Duration> {
        Some(self.drained?.saturating_sub(self.adopted?))
    }
}

/// The entries, shared by the task that rotates, the one that watches drains, and the view.
#[derive(Default)]
pub struct Journal(Mutex<Entries>);

#[derive(Debug, Clone, Default)]
pub struct Entries {
    pub rotations: Vec<Rotation>,
    /// VersionIds in the order in which they were made; the first is v1.
    pub versions: Vec<String>,
    pub events: Vec<(Duration, String)>,
}

impl Journal {
    pub fn read(&self) -> MutexGuard<'_, Entries> {
        self.0.lock()
    }

    pub fn write(&self) -> MutexGuard<'_, Entries> {
        self.read()
    }
}

impl Entries {
    pub fn say(&mut self, at: Duration, what: String) {
        self.events.push((at, what));
    }

    pub fn is_rotating(&self) -> bool {
        self.rotations.last().is_some_and(|r| !r.over)
    }

    /// Its number, from 1; 0 for a version that is not the demo's.
    pub fn number(&self, version: &str) -> usize {
        let at = self.versions.iter().position(|v| v == version);
        at.map_or(0, |at| at + 1)
    }

    pub fn adoptions(&self) -> impl Iterator<Item = Duration> {
        self.rotations.iter().filter_map(|r| r.adopted)
    }

    /// Notes which adopted rotations have no connection of their old version
    /// left.
    pub fn note_drained(&mut self, status: &Status, now: Duration) {
        for (at, rotation) in self.rotations.iter_mut().enumerate() {
            let waits = rotation.adopted.is_some() && rotation.drained.is_none();
            if !waits || generations(status).any(|g| *g.version == *rotation.from) {
                continue;
            }
            rotation.drained = Some(now);
            let took = rotation.drain().unwrap_or_default();
            let event = format!("v{} drained {} later", at + 1, millis(took));
            self.events.push((now, event));
        }
    }
}

/// Whether every database has this version in force.
pub fn in_force_everywhere(status: &Status, version: &str) -> bool {
    status.databases.iter().all(|database| {
        let in_force = database
            .generations
            .iter()
            .find(|g| g.draining_since.is_none());
        in_force.is_some_and(|g| *g.version == *version)
    })
}

fn generations(status: &Status) -> impl Iterator<Item = &crate::admin::GenerationStatus> {
    status.databases.iter().flat_map(|d| &d.generations)
}

/// A duration for people: `41 ms`, `1.9 s`.
pub fn millis(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    /// Of each database, the versions and whether they drain.
    fn status(databases: &[&[(&str, bool)]]) -> Status {
        let generation = |(version, drains): &(&str, bool)| {
            serde_json::json!({
                "number": 1, "version": version, "stages": [], "user": "u", "adopted_at": "",
                "draining_since": drains.then_some("then"), "active": 1, "idle": 0, "holders": [],
            })
        };
        let database = |generations: &&[(&str, bool)]| {
            let generations: Vec<_> = generations.iter().map(generation).collect();
            serde_json::json!({
                "name": "d", "secret": "s", "pool_mode": "session", "pool_size": 1, "clients": 0,
                "waiting": 0, "servers": {"active": 1, "idle": 0, "opening": 0},
                "generations": generations,
            })
        };
        let databases: Vec<_> = databases.iter().map(database).collect();
        serde_json::from_value(serde_json::json!({
            "version": "", "pid": 1, "started_at": "", "ready": true,
            "databases": databases, "secrets": [],
        }))
        .unwrap()
    }

    #[test]
    fn a_version_is_in_force_when_every_pool_says_so() {
        let everywhere =
            |databases: &[&[(&str, bool)]]| in_force_everywhere(&status(databases), "b");
        assert!(everywhere(&[&[("b", false), ("a", true)], &[("b", false)]]));
        assert!(!everywhere(&[&[("b", false)], &[("a", false)]]));
        assert!(!everywhere(&[&[("b", true)], &[("b", false)]]));
        assert!(!everywhere(&[&[], &[("b", false)]]));
    }

    #[test]
    fn drained_is_noted_once_and_only_after_adoption() {
        let at = Duration::from_secs;
        let mut entries = Entries::default();
        entries.rotations.push(Rotation {
            order: Order::of(1),
            from: "a".to_owned(),
            in_place: Some(at(2)),
            adopted: None,
            drained: None,
            over: false,
        });
        entries.note_drained(&status(&[&[("b", false)]]), at(3));
        assert_eq!(entries.rotations[0].drained, None);
        entries.rotations[0].adopted = Some(at(4));
        entries.note_drained(&status(&[&[("b", false), ("a", true)]]), at(5));
        assert_eq!(entries.rotations[0].drained, None);
        entries.note_drained(&status(&[&[("b", false)]]), at(6));
        entries.note_drained(&status(&[&[("b", false)]]), at(7));
        assert_eq!(entries.rotations[0].drain(), Some(at(2)));
        assert_eq!(entries.rotations[0].adoption(), Some(at(2)));
        assert_eq!(entries.events.len(), 1);
    }
}
