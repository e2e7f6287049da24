//! Housekeeping once a second: the clock, dead and outworn connections, the
//! minimum. It has a task of its own, so that a slow login does not hold it up.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::Pool;
use super::vacate::Vacant;

const SWEEP: Duration = Duration::from_secs(1);

pub(super) async fn run(pool: Weak<Pool>) {
    let mut tick = interval(SWEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match pool.upgrade() {
            Some(pool) => pool.sweep(),
            None => return,
        }
    }
}

impl Pool {
    /// Moves the clock, closes dead and outworn connections, keeps the minimum.
    fn sweep(self: &Arc<Self>) {
        let now = self.seconds.fetch_add(SWEEP.as_secs(), Relaxed) + SWEEP.as_secs();
        self.sweep_defaults(now);
        let mut state = self.state();
        let idle_timeout = self.database().server_idle_timeout.as_secs();
        let lifetime = self.database().server_lifetime;
        // With logins failing, what still works is worth keeping.
        let good = state.search.is_good();
        let mut spare = state
            .slots
            .taken()
            .saturating_sub(self.database().min_pool_size);
        let mut kept = Vec::with_capacity(state.idle.len());
        for mut connection in std::mem::take(&mut state.idle) {
            let dead = !connection.is_alive();
            let worn = !lifetime.is_zero() && connection.age() > lifetime;
            let unused = idle_timeout > 0
                && now.saturating_sub(connection.idle_since) > idle_timeout
                && spare > 0;
            if dead {
                state.hung_up = Some(Instant::now());
            }
            if dead || good && (worn || unused) {
                spare = spare.saturating_sub(1);
                self.retire(&mut state, connection);
            } else {
                kept.push(connection);
            }
        }
        state.idle = kept;
        self.give_what_is_owed(&mut state);
        if state.vacant.as_ref().is_some_and(Vacant::is_over) {
            state.vacant = None;
        }
        if state.search.is_good()
            && !state.lingering
            && state.vacant.is_none()
            && let Some(current) = state.current.clone()
        {
            let wanted = self
                .database()
                .min_pool_size
                .saturating_sub(state.slots.taken());
            for _ in 0..wanted.min(self.database().login_concurrency) {
                if self.may_open(&state) {
                    self.start_opening(&mut state, current.clone());
                }
            }
        }
        // A failed login may have interrupted the replacement.
        let old = state.idle.iter().any(|c| !state.is_current(&c.generation));
        if state.search.is_good() && old {
            self.start_replacing(&mut state);
        }
        state.waiting();
        let waited = state.waiters.since().map(|since| since.elapsed());
        // The reserve is for the process that stays.
        let shares = state.sharing.is_some();
        state.reserve =
            !shares && waited.is_some_and(|w| w >= self.database().reserve_pool_timeout);
        if state.reserve {
            self.open_for_waiters(&mut state);
        }
    }
}
