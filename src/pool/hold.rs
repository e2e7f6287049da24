//! Holding a pool back, and having it log in anew, because somebody asks for it.
//!
//! A paused pool lends nothing: clients queue, a connection that comes back is closed, and
//! none is opened. What its server does meanwhile is no reason to send anybody away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::Pool;

/// The time between two looks whether the last connection is gone.
const LOOK: Duration = Duration::from_millis(20);

impl Pool {
    /// Lends no connection until [`resume`](Self::resume).
    pub fn pause(self: &Arc<Self>) {
        let mut state = self.state();
        state.paused = true;
        for connection in std::mem::take(&mut state.idle) {
            self.retire(&mut state, connection);
        }
    }

    /// Serves those who have queued, and everybody else.
    pub fn resume(self: &Arc<Self>) {
        let mut state = self.state();
        state.paused = false;
        self.open_for_waiters(&mut state);
        drop(state);
        self.wake.notify_one();
    }

    pub fn is_paused(&self) -> bool {
        self.state().paused
    }

    /// Waits until no connection is left of a pool that is paused, or until it is resumed. The
    /// connection that listens for clients stays: without it, they would miss notifications.
    pub async fn released(&self) {
        while self.is_paused() && self.open() > 0 {
            sleep(LOOK).await;
        }
    }

    /// The connections that are open, without the one that listens for clients and that of the
    /// share.
    fn open(&self) -> usize {
        let listening = usize::from(self.listener.counts().is_some());
        let state = self.state();
        let kept = listening + Self::ledger_slots(&state);
        (state.slots.own() - state.slots.abandoned()).saturating_sub(kept)
    }

    /// Replaces every connection that is open now, each as soon as nobody holds it.
    pub fn reconnect(self: &Arc<Self>) {
        let mut state = self.state();
        state.reconnect = Some(Instant::now());
        for connection in std::mem::take(&mut state.idle) {
            self.retire(&mut state, connection);
        }
        self.open_for_waiters(&mut state);
    }

    /// Waits until every connection is closed that was open at the last
    /// [`reconnect`](Self::reconnect).
    pub async fn reconnected(&self) {
        let Some(before) = self.state().reconnect else {
            return;
        };
        while self.servers().iter().any(|s| s.opened_at <= before) {
            sleep(LOOK).await;
        }
    }
}
