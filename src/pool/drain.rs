//! Retiring an older generation: idle connections are replaced one for one,
//! busy ones close when they come back, and nobody notices.

use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use super::Pool;
use super::generation::Generation;
use super::state::{Health, State};
use crate::audit::{Event, Record};

impl Pool {
    pub(super) fn drain_started(&self, old: &Arc<Generation>) {
        let mut record = Record::new(Event::DrainStart);
        record.database = Some(self.database.name.clone());
        record.credential = Some(old.credential_ref());
        self.audit.record(record);
        if old.established() == 0 {
            self.drain_ended(old, Duration::ZERO);
        }
    }

    /// The last connection of a generation is gone.
    pub(super) fn drained(&self, generation: &Arc<Generation>) {
        let since = {
            let mut state = self.state();
            // A login that was under way when its generation was replaced may
            // still arrive; it is retired on arrival and ends up here again.
            let at = state
                .draining
                .iter()
                .position(|d| Arc::ptr_eq(&d.generation, generation));
            at.map(|at| state.draining.remove(at).since)
        };
        if let Some(since) = since {
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
        let mut record = Record::new(Event::DrainEnd);
        record.database = Some(self.database.name.clone());
        record.credential = Some(generation.credential_ref());
        record.duration_ms = Some(took.as_millis().try_into().unwrap_or(u64::MAX));
        self.audit.record(record);
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
        // The probe's connection stands for the first one.
        let mut stands_in = true;
        loop {
            let (old, current, room, replace) = {
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
            if room {
                self.clone().open_and_put(current.clone()).await;
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

    /// The newest generation that has been draining for longer than
    /// `drain_timeout`: whoever still holds a connection of it, or of one
    /// before it, is overdue.
    pub fn overdue_generation(&self) -> Option<u64> {
        let state = self.state();
        state
            .draining
            .iter()
            .filter(|d| d.since.elapsed() > self.database.drain_timeout)
            .map(|d| d.generation.number)
            .max()
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

    /// Whether every connection is closed.
    pub fn is_empty(&self) -> bool {
        self.state().open == 0
    }
}
