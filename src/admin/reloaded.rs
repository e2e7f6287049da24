//! What a reload of the configuration has changed.

/// Keys of the configuration that a reload has found changed, by when that takes effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// From the next use on.
    pub at_once: Vec<String>,
    /// For sessions that begin after the reload.
    pub new_sessions: Vec<String>,
    /// For new server connections; the others drain.
    pub drain: Vec<String>,
    /// Not before pgvalet is started again.
    pub restart: Vec<String>,
    /// What is doubtful in the file.
    pub warnings: Vec<String>,
}

impl Reloaded {
    /// What whoever has asked for the reload is told.
    pub fn notices(self) -> Vec<String> {
        let changed = self.changes().map(|changes| format!("changed: {changes}"));
        let restart = self.needs_restart();
        let said = changed.into_iter().chain(restart);
        said.chain(self.warnings).collect()
    }

    /// The keys that have changed, but for those that need a restart.
    pub fn in_force(&self) -> Vec<String> {
        [&self.at_once, &self.new_sessions, &self.drain]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// What has changed, but for what needs a restart.
    pub fn changes(&self) -> Option<String> {
        let parts = [
            ("at once", &self.at_once),
            ("for new sessions", &self.new_sessions),
            ("while older server connections drain", &self.drain),
        ];
        let parts = parts.iter().filter(|(_, keys)| !keys.is_empty());
        let parts: Vec<String> = parts
            .map(|(when, keys)| format!("{} ({when})", some_of(keys)))
            .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// What has changed in the file, and not yet in the proxy.
    pub fn needs_restart(&self) -> Option<String> {
        let keys = (!self.restart.is_empty()).then(|| some_of(&self.restart))?;
        Some(format!(
            "a change of {keys} takes effect when pgvalet is started again"
        ))
    }
}

/// The first keys, and how many there are more.
fn some_of(keys: &[String]) -> String {
    const MOST: usize = 10;
    let shown = keys[..keys.len().min(MOST)].join(", ");
    match keys.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_is_said_first_and_shortly() {
        assert!(Reloaded::default().notices().is_empty());
        let keys = |n: usize| (0..n).map(|i| format!("[x] k{i}")).collect::<Vec<_>>();
        let reloaded = Reloaded {
            at_once: keys(12),
            drain: keys(1),
            restart: keys(2),
            warnings: vec!["doubtful".to_owned()],
            ..Reloaded::default()
        };
        let ten = keys(10).join(", ");
        let expected = [
            &format!(
                "changed: {ten} and 2 more (at once), [x] k0 (while older server connections drain)"
            ),
            "a change of [x] k0, [x] k1 takes effect when pgvalet is started again",
            "doubtful",
        ];
        assert_eq!(reloaded.notices(), expected);
    }
}
