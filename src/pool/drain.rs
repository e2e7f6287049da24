//! Retiring an older generation: idle connections are replaced one for one,
//! busy ones close when they come back, and nobody notices.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::sleep;
use tracing::info;

use super::Pool;
use super::generation::{Draining, Generation};
use super::state::{Health, State};
use crate::audit::Record;
use crate::base::jitter::scattered;

/// Between two idle connections that are replaced, and for all of a pool.
const PAUSE: Duration = Duration::from_millis(20);
const SWEEP: Duration = Duration::from_secs(1);

impl Pool {
    /// Recorded under the lock under which the end is noticed, so that there is
    /// one record of each, in this order.
    pub(super) fn start_draining(&self, state: &mut State, old: &Arc<Generation>) {
        let credential = self.credential_ref(&old.credential);
        let database = self.database.name.clone();
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

    /// The last connection of a generation is gone.
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
            database = %self.database.name, secret = %self.secret,
            version = %generation.credential.version, generation = generation.number,
            "generation drained in {} ms", took.as_millis()
        );
        let credential = self.credential_ref(&generation.credential);
        let database = self.database.name.clone();
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
        // Many proxies adopt at the same moment; their logins need not come at it.
        let pause = SWEEP / u32::try_from(self.database.pool_size).unwrap_or(u32::MAX);
        let pause = pause.min(PAUSE);
        // The probe's connection stands for the first one.
        let mut stands_in = true;
        loop {
            sleep(scattered(pause)).await;
            let (mut old, current, room, replace) = {
                let mut state = self.state();
                // With logins failing, what still works is worth keeping.
                let good = matches!(state.health, Health::Good);
                let next = state.current.clone().filter(|_| good).and_then(|current| {
                    let mut idle = state.idle.iter().map(|c| &c.generation);
                    Some((idle.position(|g| !Arc::ptr_eq(g, &current))?, current))
                });
                let Some((at, current)) = next else {
                    state.replacing = false;
                    return;
                };
                let replace = !std::mem::take(&mut stands_in);
                let room = replace && self.may_open(&state);
                if room {
                    state.open += 1;
                    state.opening += 1;
                }
                state.closing += 1;
                (state.idle.remove(at), current, room, replace)
            };
            if room && !self.clone().open_and_put(current.clone()).await {
                // What works is kept; the sweep begins again.
                let mut state = self.state();
                state.closing -= 1;
                state.replacing = false;
                old.idle_since = self.seconds();
                return self.put(&mut state, old);
            }
            self.close(old, "replaced").await;
            let reuse_slot = replace && !room;
            {
                let mut state = self.state();
                state.closing -= 1;
                if reuse_slot {
                    state.opening += 1;
                } else {
                    self.release_slot(&mut state);
                }
            }
            if reuse_slot {
                self.clone().open_and_put(current).await;
            }
        }
    }

    /// The generations that have been draining for longer than so long.
    pub fn overdue(&self, limit: Duration) -> Vec<Arc<Generation>> {
        let state = self.state();
        let overdue = state.draining.iter().filter(|d| d.since.elapsed() > limit);
        overdue.map(|d| d.generation.clone()).collect()
    }

    /// The proxy is going down: no new lease, idle connections closed.
    pub fn shut(self: &Arc<Self>) {
        let mut state = self.state();
        state.shut = true;
        state.fail_waiters(&super::CheckoutError::Shut);
        for connection in std::mem::take(&mut state.idle) {
            self.retire(&mut state, connection);
        }
    }

    /// The configuration has another pool in its place, or none: it serves the
    /// sessions it has and keeps nothing for later.
    pub fn linger(self: &Arc<Self>) {
        let mut state = self.state();
        state.lingering = true;
        for connection in std::mem::take(&mut state.idle) {
            self.retire(&mut state, connection);
        }
    }

    /// Whether every connection is closed, but for those that only the server
    /// can close.
    pub fn is_empty(&self) -> bool {
        let state = self.state();
        state.open == state.abandoned
    }
}
