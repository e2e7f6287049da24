//! How many connections a pool opens, and when.

use std::sync::Arc;

use super::Pool;
use super::generation::Generation;
use super::login::FailedLogin;
use super::slots::{Slot, Use};
use super::state::State;

impl Pool {
    /// Starts as many logins as waiters need and the ceiling allows.
    pub(super) fn open_for_waiters(self: &Arc<Self>, state: &mut State) {
        if !state.search.is_good() {
            return;
        }
        let Some(generation) = state.current.clone() else {
            return;
        };
        while state.slots.opening() < state.waiters.len() && self.may_open(state) {
            self.start_opening(state, generation.clone());
        }
        let needed = state.waiters.len().saturating_sub(state.slots.opening());
        self.ask_for_slots(state, needed);
    }

    /// Whether the ceiling, with the reserve where that may be used, has room for
    /// another login.
    pub(super) fn may_open(&self, state: &State) -> bool {
        let most = match state.reserve {
            true => self.ceiling(state),
            false => self.size(state),
        };
        state.slots.taken() < most
            && state.slots.opening() < self.database().login_concurrency
            && (!Self::is_unproven(state) || Self::ledger_waits(state))
            && !state.shut
            && !state.paused
    }

    /// Starts one login, in a task of its own.
    pub(super) fn start_opening(self: &Arc<Self>, state: &mut State, generation: Arc<Generation>) {
        let slot = state.slots.take(Use::Opening);
        let pool = self.clone();
        tokio::spawn(async move { pool.open_and_put(generation, slot).await });
    }

    /// Logs in once on demand; `true` if that worked. The connection goes to whoever needs it most.
    pub(super) async fn open_and_put(
        self: Arc<Self>,
        generation: Arc<Generation>,
        slot: Slot,
    ) -> bool {
        let result = self.login(&generation, slot).await;
        let mut state = self.state();
        match result {
            Ok(connection) => {
                self.put(&mut state, connection);
                self.open_for_waiters(&mut state);
                true
            }
            Err(FailedLogin { error, slot }) => {
                self.login_failed(&mut state, &generation, &error);
                self.release_slot(&mut state, slot);
                false
            }
        }
    }
}
