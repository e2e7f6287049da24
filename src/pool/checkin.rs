//! Giving a connection back: who gets it next, or whether it is closed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::connection::Proven;
use super::owners::Owner;
use super::slots::{Slot, Use};
use super::state::State;
use super::{Connection, Pool};
use crate::upstream::SessionAttrs;

/// How long a new generation takes over one connection at a time.
const GENTLE: Duration = Duration::from_secs(1);

impl Pool {
    /// Takes a quiet connection back from a client. A connection to which a cancel is under way is
    /// kept until the cancel has landed.
    pub(super) fn give_back(self: &Arc<Self>, connection: Proven) {
        if connection.backend().has_cancel_in_flight() {
            let pool = self.clone();
            tokio::spawn(async move {
                connection.backend().cancels_landed().await;
                pool.give_back(connection);
            });
            return;
        }
        self.put(&mut self.state(), connection);
    }

    /// Hands a quiet connection to whoever needs it most: the prober, a client that
    /// waits, or the idle list; or retires it.
    pub(super) fn put(self: &Arc<Self>, state: &mut State, mut connection: Proven) {
        state.slots.turn(&mut connection.slot, Use::Idle);
        if state.shut || state.paused {
            return self.retire(state, connection);
        }
        let Some(mut connection) = self.serve_ledger(state, connection) else {
            return;
        };
        if !self.has_too_many(state)
            && let Some(prober) = state.slot_wanted.take()
        {
            return self.hand_over_slot(state, connection, prober);
        }
        if self.is_owed(state, &connection) {
            self.retire(state, connection);
            return self.open_for_waiters(state);
        }
        if !connection.is_alive() {
            state.hung_up = Some(Instant::now());
            self.retire(state, connection);
            return self.open_for_waiters(state);
        }
        if self.is_done_with(state, &mut connection) {
            self.retire(state, connection);
            return self.open_for_waiters(state);
        }
        if !state.waiters.is_empty() && state.suspects(&connection) {
            state.slots.turn(&mut connection.slot, Use::Leased);
            return Self::try_and_return(self.clone(), connection.into_connection());
        }
        let Some(mut connection) = self.serve_waiters(state, connection) else {
            return;
        };
        connection.idle_since = self.seconds();
        let old = self.is_old(state, &connection);
        state.idle.push(connection);
        if old {
            self.start_replacing(state);
        }
    }

    /// Whether a connection may be replaced. While logins fail, what still works is worth keeping.
    fn may_replace(state: &State) -> bool {
        state.search.is_good() || state.lingering
    }

    /// Whether a connection belongs to an older generation that can be replaced.
    fn is_old(&self, state: &State, connection: &Connection) -> bool {
        Self::may_replace(state) && !state.is_current(&connection.generation)
    }

    /// Whether a connection is to be closed rather than used again.
    fn is_done_with(&self, state: &State, connection: &mut Connection) -> bool {
        let lifetime = self.database().server_lifetime;
        let worn = Self::may_replace(state) && !lifetime.is_zero() && connection.age() > lifetime;
        // While a new generation takes over, few connections are away at a
        // time, and the others work on.
        let replaced = self.is_old(state, connection)
            && state.slots.closing() + state.slots.opening() < self.at_once(state);
        // It belongs to the reserve, or to a pool that keeps nothing.
        let surplus =
            state.waiters.is_empty() && (state.lingering || state.slots.taken() > self.size(state));
        // Somebody drops, renames or copies its database.
        let vacant = state.vacant.as_ref();
        let unwanted = state.waiters.is_empty() && vacant.is_some_and(|v| v.wants_gone(connection));
        // Where clients asked for a primary or a standby, it must still be one.
        let changed = connection.generation.target.attrs != SessionAttrs::Any
            && connection.has_changed_role();
        // New logins find other defaults now.
        let outdated = Self::may_replace(state) && self.is_outdated(state, connection);
        let reconnect = state.reconnect.is_some_and(|at| connection.was_open(at));
        let disowned = Self::may_replace(state) && reconnect;
        worn || replaced
            || surplus
            || unwanted
            || changed
            || outdated
            || disowned
            || self.has_too_many(state)
    }

    /// Hands a connection to a client that waits, or cleans it for one; `None` then.
    fn serve_waiters(
        self: &Arc<Self>,
        state: &mut State,
        mut connection: Proven,
    ) -> Option<Proven> {
        while let Some(line) = state
            .waiters
            .turn(self.owner_of(&connection), &state.shares)
        {
            let Some(waiter) = state.waiters.first_of(line) else {
                break;
            };
            if waiter.delivery.is_closed() {
                state.waiters.take(line); // its client has left
                continue;
            }
            if let Some(client) = &waiter.client
                && !self.suits(&connection, client)
            {
                state.slots.turn(&mut connection.slot, Use::Leased);
                let connection = connection.into_connection();
                Self::clean_and_return(self.clone(), connection, false);
                return None;
            }
            let Some(waiter) = state.waiters.take(line) else {
                break;
            };
            if let Some(client) = &waiter.client {
                connection
                    .owner
                    .get_or_insert_with(|| state.shares.own(client));
            }
            let lease = state.lease(self, connection);
            // A lease must not drop here, where the lock is held: if its client has
            // left, the connection is taken out of it.
            let back = waiter.delivery.send(Ok(lease)).err()?;
            connection = back.ok()?.into_proven()?;
            state.slots.turn(&mut connection.slot, Use::Idle);
        }
        Some(connection)
    }

    /// The line in which a client waits: where connections are not cleaned between
    /// identities, there is one for all.
    pub(super) fn line_of(&self, client: Option<&Arc<str>>) -> Option<Arc<str>> {
        client
            .filter(|_| self.database().reset_between_clients)
            .cloned()
    }

    /// The identity for which a connection need not be cleaned.
    fn owner_of<'a>(&self, connection: &'a Connection) -> Option<&'a Owner> {
        let owner = connection.owner.as_ref();
        owner.filter(|_| self.database().reset_between_clients)
    }

    /// How many connections may be closing or opening at a time because a new
    /// generation takes over. A login costs the server more than many transactions
    /// do, and everybody feels a burst of them; so they begin one by one. After a
    /// second there may be more, so that a large pool, or a server far away, does
    /// not take long either.
    fn at_once(&self, state: &State) -> usize {
        let current = state.current.as_ref();
        let since = current.and_then(|g| g.proven_at.elapsed().ok());
        match since {
            Some(since) if since < GENTLE => 1,
            _ => self.database().login_concurrency,
        }
    }

    /// Closes a connection and gives its slot to the prober.
    fn hand_over_slot(
        self: &Arc<Self>,
        state: &mut State,
        connection: Proven,
        prober: oneshot::Sender<Slot>,
    ) {
        let mut connection = connection.into_connection();
        state.slots.turn(&mut connection.slot, Use::Closing);
        let pool = self.clone();
        tokio::spawn(async move {
            let mut slot = pool.close(connection, "replaced").await;
            let mut state = pool.state();
            state.slots.turn(&mut slot, Use::Opening);
            if let Err(slot) = prober.send(slot) {
                pool.release_slot(&mut state, slot);
            }
        });
    }
}
