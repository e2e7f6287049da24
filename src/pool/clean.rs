//! Making a connection fit for the next client: trying it, and cleaning it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tracing::debug;

use super::connection::Proven;
use super::{Connection, Lease, Pool};
use crate::upstream::{QueryError, Quiet};

/// How long a client waits for the answer of a connection that was idle.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

impl Pool {
    /// Makes a round trip on a connection that the server may have closed. If there is
    /// no answer, all that were idle for long are given up.
    pub(super) async fn try_out(self: &Arc<Self>, mut lease: Lease) -> Option<Lease> {
        let limit = CHECK_TIMEOUT.min(self.database().upstream.connect_timeout);
        if matches!(timeout(limit, lease.ask(&[])).await, Ok(Ok(_))) {
            return Some(lease);
        }
        debug!(database = %self.name, pid = %lease.backend().pid, "a server connection that was idle does not answer; closing it");
        let mut state = self.state();
        let (stale, good) = std::mem::take(&mut state.idle)
            .into_iter()
            .partition(|c| self.is_stale(c));
        state.idle = good;
        let stale: Vec<Proven> = stale;
        for connection in stale {
            self.retire(&mut state, connection);
        }
        None
    }

    /// Cleans a connection that another client has used. `None`: the connection cannot be cleaned,
    /// and is closed.
    pub(super) async fn clean_for(
        &self,
        mut lease: Lease,
        client: &Option<Arc<str>>,
    ) -> Option<Lease> {
        let limit = CHECK_TIMEOUT.min(self.database().upstream.connect_timeout);
        let cleaned = async {
            lease.backend().cancels_landed().await;
            lease.clean().await
        };
        match timeout(limit, cleaned).await {
            Ok(Ok(())) => {
                lease.owner = client
                    .as_ref()
                    .map(|client| self.state().shares.own(client));
                self.learn_facts(&lease);
                Some(lease)
            }
            Ok(Err(e)) => {
                debug!(pid = %lease.backend().pid, "not reusable: {e}");
                None
            }
            Err(_) => None,
        }
    }

    /// Cleans a connection in the background, and hands it on. It counts as
    /// leased meanwhile.
    pub(super) fn clean_and_return(
        pool: Arc<Self>,
        mut connection: Box<Connection>,
        in_transaction: bool,
    ) {
        tokio::spawn(async move {
            connection.backend().cancels_landed().await;
            let limit = pool.database().upstream.connect_timeout;
            let cleaned = timeout(limit, connection.clean(in_transaction)).await;
            pool.return_after(connection, cleaned);
        });
    }

    /// Makes a round trip on a connection that somebody waits for, and that the server
    /// may have closed, in the background. It counts as leased meanwhile.
    pub(super) fn try_and_return(pool: Arc<Self>, mut connection: Box<Connection>) {
        tokio::spawn(async move {
            let limit = CHECK_TIMEOUT.min(pool.database().upstream.connect_timeout);
            let tried = timeout(limit, connection.ask(&[])).await;
            let answered = tried.map(|answer| answer.map(|(_, quiet)| quiet));
            pool.return_after(connection, answered);
        });
    }

    /// Resets the time limits that the last client has set, in the background,
    /// and hands the connection on.
    pub(super) fn lift_limits_and_return(pool: Arc<Self>, mut connection: Box<Connection>) {
        tokio::spawn(async move {
            connection.backend().cancels_landed().await;
            let limit = pool.database().upstream.connect_timeout;
            let lifted = timeout(limit, connection.lift_limits(&pool.profiles)).await;
            pool.return_after(connection, lifted);
        });
    }

    fn return_after(
        self: &Arc<Self>,
        connection: Box<Connection>,
        outcome: Result<Result<Quiet, QueryError>, Elapsed>,
    ) {
        match outcome {
            Ok(Ok(quiet)) => {
                self.learn_facts(&connection);
                return self.give_back(Proven::new(connection, quiet));
            }
            Ok(Err(e)) => {
                debug!(pid = %connection.backend().pid, "not reusable: {e}");
            }
            Err(_) => {}
        }
        match connection.closed {
            true => self.forget(connection),
            false => self.discard(connection),
        }
    }

    /// Learns what the server reports by itself, from a connection on which
    /// nobody has set anything.
    pub(super) fn learn_facts(&self, connection: &Connection) {
        if connection.profile.settings().is_empty() {
            self.facts
                .reports(&connection.profile, connection.reported());
        }
    }
}
