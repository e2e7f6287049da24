//! Logins that no client waits for: proofs of versions, and attempts to reach a server that
//! was down. A process makes few of them at once, so that hundreds of databases do not take
//! all connections of a server when pgvalet starts, or when the server comes back.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::Proven;
use super::search::Obstacle;
use super::state::State;
use super::{OnDown, Pool};
use crate::base::jitter::jittered;

/// The most such logins at once.
const AT_ONCE: usize = 8;
/// Clients that come bring about another attempt, but not sooner after the last one.
const FRESH: Duration = Duration::from_millis(200);

/// The pause between attempts that nobody waits for.
const UNHURRIED: Duration = Duration::from_secs(5);

/// The logins of a process that no client waits for.
#[derive(Debug, Clone)]
pub struct Errands(Arc<Semaphore>);

impl Default for Errands {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Pool {
    /// Waits for a turn to log in for nobody, or until a client waits for the login.
    pub(super) async fn errand(&self) -> Option<OwnedSemaphorePermit> {
        let mut asked = pin!(self.asked.notified());
        asked.as_mut().enable();
        if !self.state().waiters.is_empty() {
            return None;
        }
        tokio::select! {
            permit = self.errands.0.clone().acquire_owned() => permit.ok(),
            () = asked => None,
        }
    }

    /// A client is about to wait: has a server that lets nobody in tried again, unless
    /// that was done a moment ago. While others wait, it is tried again anyway.
    pub(super) fn look_again_for(&self, state: &mut State) {
        let is_due = state.failed.is_none_or(|at| at.elapsed() >= FRESH);
        let is_down = matches!(state.search.obstacle(), Some(Obstacle::Server { .. }));
        if is_down && is_due && state.waiters.is_empty() && !state.hurry {
            state.hurry = true;
            self.wake.notify_one();
        }
    }

    /// Whether an attempt is to be made now because a client came; it is made then.
    pub(super) fn takes_hurry(&self) -> bool {
        std::mem::take(&mut self.state().hurry)
    }

    /// The pause before the next attempt: longer where nobody waits for the server, and
    /// whoever comes has it tried at once.
    pub(super) fn unhurried(&self, pause: Duration) -> Duration {
        let mut state = self.state();
        let is_down = matches!(state.search.obstacle(), Some(Obstacle::Server { .. }));
        let told_at_once = self.database().on_down == OnDown::Refuse;
        match is_down && !told_at_once && state.waiting() == 0 {
            true => pause.max(jittered(UNHURRIED)),
            false => pause,
        }
    }

    /// Puts the connection of an errand into the pool, if anybody has a use for it.
    pub(super) fn put_if_used(self: &Arc<Self>, state: &mut State, connection: Proven) -> Kept {
        let used = !state.waiters.is_empty()
            || state.slot_wanted.is_some()
            || Self::ledger_waits(state)
            || state.slots.staying() > 1
            || self.database().min_pool_size > 0;
        if !used {
            return Kept::No(connection);
        }
        self.put(state, connection);
        Kept::Yes
    }

    /// Closes a connection that nobody has a use for.
    pub(super) async fn close_unused(self: &Arc<Self>, kept: Kept) {
        if let Kept::No(connection) = kept {
            let slot = self.close(connection, "unused").await;
            self.release_slot(&mut self.state(), slot);
        }
    }
}

/// What becomes of a connection that no client asked for.
#[must_use = "a connection that is not kept is to be closed"]
pub(super) enum Kept {
    Yes,
    No(Proven),
}

impl State {
    /// Notes that a login has failed.
    pub fn note_failure(&mut self) {
        self.failed = Some(Instant::now());
    }
}
