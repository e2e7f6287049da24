//! Goodbyes of a pool's connections, and what becomes of their slots.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tracing::debug;

use super::login::server_ref;
use super::slots::{Slot, Use};
use super::state::State;
use super::{Connection, Pool};
use crate::audit::Record;
use crate::upstream::{self, CLOSE_TIMEOUT};

/// How long pgvalet waits for the end of a replication stream.
const AT_ONCE: Duration = Duration::from_millis(5);

impl Pool {
    /// Takes a connection out of service; its slot is free once Postgres has let
    /// go of it.
    pub(super) fn retire(
        self: &Arc<Self>,
        state: &mut State,
        connection: impl Into<Box<Connection>>,
    ) {
        self.closing(state, connection);
    }

    /// [`retire`](Self::retire); the task ends when the connection is closed.
    pub(super) fn closing(
        self: &Arc<Self>,
        state: &mut State,
        connection: impl Into<Box<Connection>>,
    ) -> JoinHandle<()> {
        let mut connection = connection.into();
        state.slots.turn(&mut connection.slot, Use::Closing);
        let pool = self.clone();
        tokio::spawn(async move {
            let slot = pool.close(connection, "retired").await;
            pool.release_slot(&mut pool.state(), slot);
        })
    }

    /// Takes a connection out of service that the server has closed.
    pub(super) fn forget(self: &Arc<Self>, connection: Box<Connection>) {
        let mut state = self.state();
        state.hung_up = Some(Instant::now());
        self.retire(&mut state, connection);
    }

    /// Takes a connection out of service whose client left in the middle of
    /// something: what runs there is cancelled, so that it neither goes on nor
    /// holds its slot.
    pub(super) fn discard(self: &Arc<Self>, mut connection: Box<Connection>) {
        self.state().slots.turn(&mut connection.slot, Use::Closing);
        let pool = self.clone();
        tokio::spawn(async move {
            let backend = connection.backend().clone();
            if let Err(e) = upstream::cancel(&backend).await {
                debug!(pid = %backend.pid, "a query whose client has left could not be cancelled: {e}");
            }
            let slot = pool.close(connection, "discarded").await;
            pool.release_slot(&mut pool.state(), slot);
        });
    }

    /// Takes a connection out of service that one client had to itself. A server in the
    /// middle of a replication stream does not read the goodbye before it has sent what it
    /// has, and keeps the slot for so long; that nobody is there it notices at once.
    pub(super) fn end_dedicated(self: &Arc<Self>, mut connection: Box<Connection>) {
        self.state().slots.turn(&mut connection.slot, Use::Closing);
        let pool = self.clone();
        tokio::spawn(async move {
            let slot = pool.close_within(connection, "retired", AT_ONCE).await;
            pool.release_slot(&mut pool.state(), slot);
        });
    }

    /// Says goodbye and waits until the server is gone; returns the slot, which may be used again.
    /// `why` stands in the record.
    pub(super) async fn close(
        &self,
        connection: impl Into<Box<Connection>>,
        why: &'static str,
    ) -> Slot {
        self.close_within(connection, why, CLOSE_TIMEOUT).await
    }

    async fn close_within(
        &self,
        connection: impl Into<Box<Connection>>,
        why: &'static str,
        limit: Duration,
    ) -> Slot {
        let connection: Box<Connection> = connection.into();
        let (server, generation, slot) = connection.into_parts();
        let whose = server_ref(&server.backend);
        server.close_within(limit).await;
        debug!(
            database = %self.name, pid = whose.pid, version = %generation.credential.version,
            "server connection closed: {why}"
        );
        self.audit.record(Record::server_close(
            self.name.clone(),
            self.credential_ref(&generation.credential),
            whose,
            why,
        ));
        if generation.established.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.drained(&generation);
        }
        slot
    }

    /// Ends the use of a slot: the prober gets it, or else it is free for whoever
    /// waits.
    pub(super) fn release_slot(self: &Arc<Self>, state: &mut State, slot: Slot) {
        let Some(mut slot) = self.pass_slot(state, slot) else {
            return self.open_for_waiters(state);
        };
        // Where a login that was given up keeps one, there may be one too many.
        let spare = match state.slots.abandoned() {
            0 => self.fits(state),
            _ => state.slots.taken() <= self.size(state),
        };
        if spare && let Some(prober) = state.slot_wanted.take() {
            state.slots.turn(&mut slot, Use::Opening);
            match prober.send(slot) {
                Ok(()) => return,
                Err(back) => slot = back, // it has given up
            }
        }
        state.slots.free(slot);
        self.open_for_waiters(state);
    }
}
