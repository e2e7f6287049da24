//! Other options for a pool that is at work, and the end and the return of its database.
//!
//! A pool lives as long as there is anything of it: its ceiling, its generations and its
//! statistics go on whatever a reload changes. Most options are read where they are used, so
//! that they hold from their next use on. How the server is reached belongs to a login: the
//! new way is proved with one, as a new version is, and what logged in before drains.

use std::sync::Arc;
use std::time::Instant;

use super::search::Search;
use super::share::Tell;
use super::state::State;
use super::{CheckoutError, Database, Pool, Stats};

/// What is kept of a pool that has ended, for another one for the same database and secret.
#[derive(Clone, Default)]
pub struct Remains {
    pub(super) stats: Arc<Stats>,
    pub(super) generations: u64,
    /// How many slots the process has that this one replaces, and how it is told of them.
    pub(super) elsewhere: Option<(usize, Tell)>,
}

impl Remains {
    /// What remains of a pool in the process that this one replaces.
    pub fn elsewhere(slots: usize, tell: Tell) -> Self {
        Self {
            elsewhere: Some((slots, tell)),
            ..Self::default()
        }
    }
}

impl Pool {
    /// Puts other options into force, and takes a pool into use again that was left to end.
    pub fn reconfigure(self: &Arc<Self>, database: &Arc<Database>) {
        let mut state = self.state();
        let before = self.database.swap(database.clone());
        let returns = std::mem::take(&mut state.lingering);
        if !returns && before == *database {
            return;
        }
        if returns {
            state.search = Search::new(database.rotation_grace, Instant::now());
        }
        state.search.set_grace(database.rotation_grace);
        self.statements.plans.keep_them(database.reuse_plans);
        state.reloaded |= returns || before.upstream != database.upstream;
        state.ceiling_changed(before.pool_size, database.pool_size);
        self.keep_share(&mut state);
        self.trim(&mut state);
        self.tell_waiters(&mut state);
        self.open_for_waiters(&mut state);
        drop(state);
        self.wake.notify_one();
    }

    /// Keeps nothing for later, because the configuration has no use for the pool any more:
    /// its version drains, and sessions may finish with the connections that they hold.
    pub fn linger(self: &Arc<Self>) {
        let mut state = self.state();
        if std::mem::replace(&mut state.lingering, true) {
            return;
        }
        for connection in std::mem::take(&mut state.idle) {
            self.retire(&mut state, connection);
        }
        if let Some(old) = state.current.take() {
            self.start_draining(&mut state, &old);
        }
        state.fail_waiters(&CheckoutError::Shut);
    }

    /// Whether the configuration has no use for the pool, and nothing of the pool is left.
    pub fn has_ended(&self) -> bool {
        let state = self.state();
        state.lingering && state.slots.taken() == 0 && state.draining.is_empty()
    }

    /// What is to be kept of the pool when it has ended.
    pub fn remains(&self) -> Remains {
        Remains {
            stats: self.stats.clone(),
            generations: self.state().generations,
            elsewhere: None,
        }
    }

    /// Whether logins are still to be proved as a reloaded configuration says.
    pub fn is_moving(&self) -> bool {
        let state = self.state();
        state.reloaded || self.has_moved(&state)
    }

    /// Whether the server is to be reached in another way than the generation in force has
    /// logged in.
    pub(super) fn has_moved(&self, state: &State) -> bool {
        let current = state.current.as_ref();
        current.is_some_and(|c| !c.options.logs_in_like(&self.database().upstream))
    }

    /// Whether all connections fit under the ceiling, which a reload may have lowered.
    pub(super) fn fits(&self, state: &State) -> bool {
        state.slots.taken() <= self.ceiling(state)
    }

    /// Whether there are more connections than the ceiling allows, those aside that are being
    /// closed.
    pub(super) fn has_too_many(&self, state: &State) -> bool {
        let slots = &state.slots;
        slots.taken() > self.ceiling(state) + slots.closing() + slots.abandoned()
    }

    /// Closes idle connections that `pool_size` has no room for any more.
    pub(super) fn trim(self: &Arc<Self>, state: &mut State) {
        while !state.idle.is_empty()
            && state.slots.taken() > self.size(state) + state.slots.closing()
        {
            let coldest = state.idle.remove(0);
            self.retire(state, coldest);
        }
    }
}
