//! Databases that an administrator has paused or disabled. That lasts until somebody ends it or
//! the proxy does; a reload changes nothing of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::pool::Pool;

/// What is paused and disabled.
#[derive(Default)]
pub struct Switches(Mutex<State>);

/// How they are set, for the process that goes on with it.
#[derive(Default, Clone, serde::Serialize, serde::Deserialize)]
pub struct SwitchesSet(State);

#[derive(Default, Clone, serde::Serialize, serde::Deserialize)]
struct State {
    /// Every database, also those that a reload adds.
    all_paused: bool,
    paused: BTreeSet<Arc<str>>,
    disabled: BTreeSet<Arc<str>>,
}

impl Switches {
    /// The switches as the process before this one has set them.
    pub fn set(set: SwitchesSet) -> Self {
        Self(Mutex::new(set.0))
    }

    /// Sets them as another process has them.
    pub fn put(&self, set: SwitchesSet) {
        *self.0.lock() = set.0;
    }

    /// How they are set.
    pub fn get(&self) -> SwitchesSet {
        SwitchesSet(self.0.lock().clone())
    }

    /// Pauses a database, or all; `false` if it was paused before.
    pub fn pause(&self, database: Option<&Arc<str>>) -> bool {
        let mut state = self.0.lock();
        match database {
            Some(database) => state.paused.insert(database.clone()),
            None => !std::mem::replace(&mut state.all_paused, true),
        }
    }

    /// Ends the pause of a database, or of all; `false` if there was none.
    pub fn resume(&self, database: Option<&str>) -> bool {
        let mut state = self.0.lock();
        match database {
            Some(database) => state.paused.remove(database),
            None => {
                let paused = std::mem::take(&mut state.paused);
                std::mem::take(&mut state.all_paused) || !paused.is_empty()
            }
        }
    }

    /// Whether this very pause is in force: of the database, or of all.
    pub fn has_paused(&self, database: Option<&str>) -> bool {
        let state = self.0.lock();
        match database {
            Some(database) => state.paused.contains(database),
            None => state.all_paused,
        }
    }

    /// Ends the pause of a database, or that of all; what was paused by its name stays so.
    pub fn take_back(&self, database: Option<&str>) {
        let mut state = self.0.lock();
        match database {
            Some(database) => {
                state.paused.remove(database);
            }
            None => state.all_paused = false,
        }
    }

    /// Refuses new clients of a database; `false` if it was disabled before.
    pub fn disable(&self, database: &Arc<str>) -> bool {
        self.0.lock().disabled.insert(database.clone())
    }

    /// Lets clients in again; `false` if it was not disabled.
    pub fn enable(&self, database: &str) -> bool {
        self.0.lock().disabled.remove(database)
    }

    pub fn is_disabled(&self, database: &str) -> bool {
        self.0.lock().disabled.contains(database)
    }

    pub fn is_paused(&self, database: &str) -> bool {
        let state = self.0.lock();
        state.all_paused || state.paused.contains(database)
    }

    /// Whether every database is paused, also those to come.
    pub fn are_all_paused(&self) -> bool {
        self.0.lock().all_paused
    }

    /// Pauses and resumes pools, so that they are as these switches say.
    pub fn apply<'a>(&self, pools: impl IntoIterator<Item = &'a Arc<Pool>>) {
        for pool in pools {
            match (self.is_paused(&pool.name), pool.is_paused()) {
                (true, false) => pool.pause(),
                (false, true) => pool.resume(),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_them_and_each() {
        let switches = Switches::default();
        let orders: Arc<str> = "orders".into();
        assert!(switches.pause(Some(&orders)) && !switches.pause(Some(&orders)));
        assert!(switches.is_paused("orders") && !switches.is_paused("billing"));
        assert!(switches.pause(None) && switches.is_paused("billing"));
        assert!(switches.resume(Some("orders")) && switches.is_paused("orders"));
        assert!(switches.resume(None) && !switches.is_paused("orders"));
        assert!(!switches.resume(None) && !switches.resume(Some("orders")));
        switches.pause(Some(&orders));
        switches.pause(None);
        assert!(switches.has_paused(None) && !switches.has_paused(Some("billing")));
        switches.take_back(None);
        assert!(switches.is_paused("orders") && !switches.is_paused("billing"));
        switches.take_back(Some("orders"));
        assert!(!switches.is_paused("orders"));
        assert!(switches.disable(&orders) && switches.is_disabled("orders"));
        assert!(switches.enable("orders") && !switches.is_disabled("orders"));
    }
}
