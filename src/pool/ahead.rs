//! A connection of the generation in force for a session that holds an older
//! one: the new one first where the ceiling has room for both.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::state::{Delivery, Waiter};
use super::{Lease, Pool};

/// Whether there is room for another connection beside the one that is held.
pub enum Room {
    Free(Lease),
    /// A login for it is under way.
    Coming(oneshot::Receiver<Delivery>),
    /// Not unless one of an older generation is given up.
    Full,
    /// Not now: logins fail, or enough of them are under way.
    NotNow,
}

impl Pool {
    /// The prober needs a slot, and every connection is held by a client.
    pub fn wants_slot(&self) -> bool {
        self.state().slot_wanted.is_some()
    }

    /// Whether there is any point in asking for another connection.
    pub fn lets_sessions_move(&self) -> bool {
        self.state().lets_sessions_move()
    }

    pub fn room_for_another(self: &Arc<Self>) -> Room {
        let mut state = self.state();
        if !state.lets_sessions_move() {
            return Room::NotNow;
        }
        let mut idle = state.idle.iter().map(|c| &c.generation);
        if let Some(at) = idle.rposition(|g| state.is_current(g)) {
            let mut connection = state.idle.remove(at);
            if connection.server.stream.is_quiet() {
                state.leased += 1;
                return Room::Free(Lease::new(self.clone(), connection));
            }
            self.retire(&mut state, connection);
        }
        if state.open >= self.database.pool_size {
            return Room::Full;
        }
        // Who waits has nothing; this session has what works.
        if state.waiting() > 0 || !self.may_open(&state) {
            return Room::NotNow;
        }
        let (delivery, coming) = oneshot::channel();
        let since = Instant::now();
        state.waiters.push_back(Waiter { delivery, since });
        self.open_for_waiters(&mut state);
        Room::Coming(coming)
    }

    /// A place at the head of the queue, for a session that gives up what it
    /// holds so that others get on.
    pub fn queue_first(&self) -> oneshot::Receiver<Delivery> {
        let (delivery, coming) = oneshot::channel();
        let since = Instant::now();
        self.state().waiters.push_front(Waiter { delivery, since });
        coming
    }
}
