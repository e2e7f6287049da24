//! Retiring an older generation: its idle connections are replaced one by one, and
//! those in use are closed when they come back.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::sleep;
use tracing::info;

use super::Pool;
use super::generation::{Draining, Generation};
use super::slots::Use;
use super::state::State;
use crate::audit::Record;
use crate::base::jitter::scattered;

/// The longest pause between two idle connections that are replaced.
const PAUSE: Duration = Duration::from_millis(20);
/// The pauses of a whole pool together.
const PAUSES: Duration = Duration::from_secs(1);

impl Pool {
    /// Begins to retire a generation. That is recorded under the lock under which
    /// the end is noticed, so that there is one record of each, in this order.
    pub(super) fn start_draining(&self, state: &mut State, old: &Arc<Generation>) {
        let credential = self.credential_ref(&old.credential);
        let database = self.name.clone();
        self.audit.record(Record::drain_start(database, credential));
        if old.is_gone() {
            return self.drain_ended(old, Duration::ZERO);
        }
        state.draining.push(Draining {
            generation: old.clone(),
            since: Instant::now(),
            started_at: SystemTime::now(),
        });
    }

    /// Ends the drain of a generation if its last connection is gone.
    pub(super) fn drained(&self, generation: &Arc<Generation>) {
        let mut state = self.state();
        let mut draining = state.draining.iter();
        let at = draining.position(|d| Arc::ptr_eq(&d.generation, generation));
        if let Some(at) = at
            && generation.is_gone()
        {
            let since = state.draining.remove(at).since;
            self.drain_ended(generation, since.elapsed());
        }
    }

    fn drain_ended(&self, generation: &Arc<Generation>, took: Duration) {
        self.metrics.drain.record(took.as_secs_f64());
        info!(
            database = %self.name, secret = %self.secret,
            version = %generation.credential.version, generation = generation.number,
            "generation drained in {} ms", took.as_millis()
        );
        let credential = self.credential_ref(&generation.credential);
        let database = self.name.clone();
        self.audit
            .record(Record::drain_end(database, credential, took));
    }

    /// Replaces idle connections of older generations, one after the other, so
    /// that Postgres sees no storm of logins: the new one first where the
    /// ceiling has room for both, else the old one makes room.
    pub(super) fn start_replacing(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.replacing, true) {
            tokio::spawn(self.clone().replace_idle());
        }
    }

    async fn replace_idle(self: Arc<Self>) {
        // Several proxies adopt at the same moment: their logins are scattered.
        let most = u32::try_from(self.database().pool_size).unwrap_or(u32::MAX);
        let pause = (PAUSES / most).min(PAUSE);
        // The probe's connection takes the place of the first one.
        let mut stands_in = true;
        loop {
            sleep(scattered(pause)).await;
            let (mut old, current, room, replace) = {
                let mut state = self.state();
                // With logins failing, what still works is worth keeping.
                let good = state.search.is_good();
                let next = state.current.clone().filter(|_| good).and_then(|current| {
                    let mut idle = state.idle.iter().map(|c| &c.generation);
                    Some((idle.position(|g| !Arc::ptr_eq(g, &current))?, current))
                });
                let Some((at, current)) = next else {
                    state.replacing = false;
                    return;
                };
                let replace = !std::mem::take(&mut stands_in);
                let room =
                    (replace && self.may_open(&state)).then(|| state.slots.take(Use::Opening));
                let mut old = state.idle.remove(at);
                state.slots.turn(&mut old.slot, Use::Closing);
                (old, current, room, replace)
            };
            let new_first = room.is_some();
            if let Some(slot) = room
                && !self.clone().open_and_put(current.clone(), slot).await
            {
                // What works is kept; the sweep begins again.
                let mut state = self.state();
                state.replacing = false;
                old.idle_since = self.seconds();
                return self.put(&mut state, old);
            }
            let mut slot = self.close(old, "replaced").await;
            if replace && !new_first && self.fits(&self.state()) {
                self.state().slots.turn(&mut slot, Use::Opening);
                self.clone().open_and_put(current, slot).await;
            } else {
                self.release_slot(&mut self.state(), slot);
            }
        }
    }

    /// The generations that have been draining for longer than `limit`.
    pub fn overdue(&self, limit: Duration) -> Vec<Arc<Generation>> {
        let state = self.state();
        let overdue = state.draining.iter().filter(|d| d.since.elapsed() > limit);
        overdue.map(|d| d.generation.clone()).collect()
    }

    /// Ends the pool, because the proxy is going down: there is no new lease, and
    /// idle connections are closed.
    pub fn shut(self: &Arc<Self>) {
        let mut state = self.state();
        state.shut = true;
        state.fail_waiters(&super::CheckoutError::Shut);
        for connection in std::mem::take(&mut state.idle) {
            self.retire(&mut state, connection);
        }
    }

    /// Whether every connection is closed, except those that only the server can
    /// close.
    pub fn is_empty(&self) -> bool {
        let state = self.state();
        state.slots.own() == state.slots.abandoned()
    }
}
