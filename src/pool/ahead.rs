//! A connection of the generation in force for a session that holds an older
//! one. The session gets the new one first, where the ceiling has room for both.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::connection::Proven;
use super::queue::{Delivery, Waiter};
use super::{Lease, Pool};

/// Whether there is room for another connection beside the one that is held.
pub enum Room {
    Free(Lease),
    /// A login is under way, and its connection will be delivered here.
    Coming(oneshot::Receiver<Delivery>),
    /// There is room only if a connection of an older generation is given up.
    Full,
    /// There is no room now: logins fail, or enough of them are under way.
    NotNow,
}

impl Pool {
    /// The prober needs a slot, and every connection is held by a client.
    pub fn wants_slot(&self) -> bool {
        self.state().slot_wanted.is_some()
    }

    /// Whether a session may change its connection now.
    pub fn lets_sessions_move(&self) -> bool {
        self.state().lets_sessions_move()
    }

    /// A connection of the generation in force, if it can be had without taking one
    /// from anybody. `client`: the identity it is for.
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
                connection
                    .owner
                    .get_or_insert_with(|| state.shares.own(client));
                return Room::Free(state.lease(self, connection));
            }
            self.retire(&mut state, connection);
        }
        if state.slots.taken() >= self.size(&state) {
            return Room::Full;
        }
        // A client that waits has nothing, and this session has what works.
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

    /// Puts a session that gives up its connection at the head of the queue, so that the pool can
    /// move on.
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
