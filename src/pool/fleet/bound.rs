//! What the pool asks before it opens anything: its own ceiling, and its share of that of all
//! replicas. Both are read under the pool's lock.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::super::connection::Proven;
use super::super::slots::Use;
use super::super::state::State;
use super::super::{Lease, Pool};
use super::keep;
use super::stuck::{Hindrance, Stuck};

/// The share of a replica.
#[derive(Default)]
pub(in crate::pool) struct Bound {
    /// So many connections may be open, sessions of the ledger aside.
    pub share: usize,
    /// The ledger stands: the share is locked on the server.
    pub proven: bool,
    /// Sessions of the ledger that are there, or wanted. They have slots, and count nowhere.
    pub sessions: usize,
    /// The ledger has no session, and gets the next connection.
    pub wanted: Option<oneshot::Sender<Lease>>,
    pub(super) seen: Seen,
    /// What is in its way, and since when.
    pub(super) stuck: Option<Stuck>,
}

/// What the ledger last saw.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub replicas: usize,
    pub demand: usize,
}

/// A share at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FleetCounts {
    /// `fleet_size`.
    pub of: usize,
    /// The connections that this replica may have.
    pub share: usize,
    /// Those that it would have use for.
    pub demand: usize,
    /// How many replicas have a share, this one included.
    pub replicas: usize,
    /// Whether the share is locked on the server. Otherwise no connection is opened.
    pub proven: bool,
}

impl Bound {
    /// The most slots that this process may have taken, of which it has `own` now.
    fn most(&self, own: usize) -> usize {
        match self.proven {
            true => self.share + self.sessions,
            // What is there stays. The first connection is the session of the ledger, or proves
            // a version and is closed.
            false => own.max(1),
        }
    }
}

impl Pool {
    /// The ceiling without the reserve.
    pub(in crate::pool) fn size(&self, state: &State) -> usize {
        self.within_share(state, self.database().pool_size)
    }

    /// The most connections there may be, those of the reserve included.
    pub(in crate::pool) fn ceiling(&self, state: &State) -> usize {
        let database = self.database();
        self.within_share(state, database.pool_size + database.reserve_pool_size)
    }

    /// As many connections as this, if the share allows it.
    pub(in crate::pool) fn within_share(&self, state: &State, most: usize) -> usize {
        let Some(bound) = &state.fleet else {
            return most;
        };
        let own = state.slots.own();
        let elsewhere = state.slots.taken() - own; // that process has a share of its own
        (most + bound.sessions).min(bound.most(own) + elsewhere)
    }

    /// Slots of the ledger.
    pub(in crate::pool) fn ledger_slots(state: &State) -> usize {
        state.fleet.as_ref().map_or(0, |bound| bound.sessions)
    }

    /// Begins to keep a share, if the configuration says so now.
    pub(in crate::pool) fn keep_share(self: &Arc<Self>, state: &mut State) {
        if self.database().fleet_size.is_some() && state.fleet.is_none() {
            state.fleet = Some(Box::default());
            let keeper = tokio::spawn(keep::run(Arc::downgrade(self)));
            self.tasks.lock().push(keeper.abort_handle());
        }
    }

    /// Gives a connection to the ledger where that waits for one. One that has logged in for the
    /// ledger is closed instead of lent. `None` then.
    pub(in crate::pool) fn serve_ledger(
        self: &Arc<Self>,
        state: &mut State,
        connection: Proven,
    ) -> Option<Proven> {
        let mut connection = connection;
        if let Some(wanted) = state.fleet.as_mut().and_then(|bound| bound.wanted.take()) {
            let lease = state.lease(self, connection);
            // A lease must not drop here, where the lock is held.
            connection = wanted.send(lease).err()?.into_proven()?;
            state.slots.turn(&mut connection.slot, Use::Idle);
        }
        if connection.for_ledger {
            self.retire(state, connection);
            return None;
        }
        Some(connection)
    }

    /// Whether there is no proof of the share, so that nothing may be opened.
    pub(in crate::pool) fn is_unproven(state: &State) -> bool {
        state.fleet.as_ref().is_some_and(|bound| !bound.proven)
    }

    /// Whether the ledger waits for a connection.
    pub(in crate::pool) fn ledger_waits(state: &State) -> bool {
        state.fleet.as_ref().is_some_and(|b| b.wanted.is_some())
    }

    /// The share, if the ceiling of all replicas is one of the pool's.
    pub(in crate::pool) fn fleet_counts(&self, state: &State) -> Option<FleetCounts> {
        let bound = state.fleet.as_ref()?;
        Some(FleetCounts {
            of: self.database().fleet_size?,
            share: bound.share,
            demand: bound.seen.demand,
            replicas: bound.seen.replicas,
            proven: bound.proven,
        })
    }

    /// Puts a share into force: at once for what is opened, and for what is idle.
    pub(super) fn set_share(self: &Arc<Self>, share: usize, seen: Seen) {
        let mut state = self.state();
        let Some(bound) = &mut state.fleet else {
            return;
        };
        (bound.share, bound.proven, bound.seen) = (share, true, seen);
        self.trim(&mut state);
        self.open_for_waiters(&mut state);
    }

    /// What is in the way of the share, if anything is.
    pub(in crate::pool) fn fleet_stuck(state: &State) -> Option<Stuck> {
        state.fleet.as_ref()?.stuck.clone()
    }

    /// Notes what is in the way of the share. Whether it is something else than before.
    pub(super) fn share_is_stuck(&self, why: Hindrance) -> bool {
        let mut state = self.state();
        let Some(bound) = &mut state.fleet else {
            return false;
        };
        let is_new = bound.stuck.as_ref().is_none_or(|before| before.why != why);
        bound.stuck = Some(Stuck::next(bound.stuck.as_ref(), why));
        is_new
    }

    /// Nothing is in its way.
    pub(super) fn share_is_free(&self) {
        if let Some(bound) = &mut self.state().fleet {
            bound.stuck = None;
        }
    }

    /// The ledger is lost.
    pub(super) fn share_is_unproven(&self) {
        if let Some(bound) = &mut self.state().fleet {
            bound.proven = false;
        }
    }
}
