//! A connection of the generation in force for a session that holds an older
//! one: the new one first where the ceiling has room for both.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::connection::Proven;
use super::queue::{Delivery, Waiter};
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

    pub fn room_for_another(self: &Arc<Self>, client: &Arc<str>) -> Room {
        let mut state = self.state();
        if !state.lets_sessions_move() {
            return Room::NotNow;
        }
        let mut idle = state.idle.iter();
        let usable = |c: &Proven| state.is_current(&c.generation) && self.suits(c, client);
        if let Some(at) = idle.rposition(usable) {
            let mut connection = state.idle.remove(at);
            if connection.is_alive() {
                state.leased += 1;
                connection
                    .owner
                    .get_or_insert_with(|| state.shares.own(client));
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
        let client = self.line_of(Some(client));
        state.waiters.push_back(Waiter {
            delivery,
            since,
            client,
        });
        self.open_for_waiters(&mut state);
        Room::Coming(coming)
    }

    /// A place at the head of the queue, for a session that gives up what it
    /// holds so that others get on.
    pub fn queue_first(&self, client: &Arc<str>) -> oneshot::Receiver<Delivery> {
        let (delivery, coming) = oneshot::channel();
        let since = Instant::now();
        let client = self.line_of(Some(client));
        self.state().waiters.push_front(Waiter {
            delivery,
            since,
            client,
        });
        coming
    }
}
