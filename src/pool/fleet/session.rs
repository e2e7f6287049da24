//! Where the ledger gets its session from: it logs in as every connection of the pool does, with
//! the version in force, and is replaced with the others when there is another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::super::connection::Proven;
use super::super::generation::Generation;
use super::super::login::FailedLogin;
use super::super::slots::{Slot, Use};
use super::super::{Lease, Pool};
use super::LEDGER;
use crate::upstream::Wishes;

/// How long a connection is waited for before it is looked again how things stand.
const WAIT: Duration = Duration::from_secs(1);

enum Way {
    Ready(Lease),
    Login(Arc<Generation>, Slot),
    /// No version is known that logs in.
    Wait(oneshot::Receiver<Lease>),
}

impl Pool {
    /// A connection for the ledger, beside its share; `None`: there is none now.
    pub(super) async fn ledger_session(self: &Arc<Self>) -> Option<Lease> {
        let way = self.way_to_session()?;
        let lease = match way {
            Way::Ready(lease) => Some(lease),
            Way::Login(generation, slot) => match self.login_for_ledger(&generation, slot).await {
                Ok(proven) => Some(self.state().lease(self, proven)),
                Err(FailedLogin { error, slot }) => {
                    let mut state = self.state();
                    self.login_failed(&mut state, &generation, &error);
                    self.release_slot(&mut state, slot);
                    None
                }
            },
            Way::Wait(mut coming) => match timeout(WAIT, &mut coming).await {
                Ok(lease) => lease.ok(),
                Err(_) => {
                    // Either it was sent before the receiver is closed, or the sender has it.
                    coming.close();
                    coming.try_recv().ok()
                }
            },
        };
        if lease.is_none()
            && let Some(bound) = &mut self.state().fleet
        {
            bound.sessions -= 1;
            bound.wanted = None;
        }
        lease
    }

    /// A login whose connection is for the ledger, or for nobody: without a proof of the share,
    /// none may be opened that counts.
    pub(in crate::pool) async fn login_for_ledger(
        self: &Arc<Self>,
        generation: &Arc<Generation>,
        slot: Slot,
    ) -> Result<Proven, FailedLogin> {
        let wishes = Wishes::named(LEDGER);
        let mut proven = self.login_with(generation, &wishes, slot).await?;
        proven.for_ledger = true;
        Ok(proven)
    }

    /// Counts one more session, and says how to get it.
    fn way_to_session(self: &Arc<Self>) -> Option<Way> {
        let mut state = self.state();
        let vacant = state.vacant.is_some() && state.waiters.is_empty();
        if state.shut || state.paused || state.lingering || vacant {
            return None;
        }
        let bound = state.fleet.as_mut()?;
        bound.sessions += 1;
        let current = state.current.clone().filter(|_| state.search.is_good());
        let Some(current) = current else {
            let (wanted, coming) = oneshot::channel();
            if let Some(bound) = &mut state.fleet {
                bound.wanted = Some(wanted);
            }
            return Some(Way::Wait(coming));
        };
        let usable = |c: &Proven| Arc::ptr_eq(&c.generation, &current);
        while let Some(at) = state.idle.iter().position(usable) {
            let mut connection = state.idle.remove(at);
            if connection.is_alive() {
                return Some(Way::Ready(state.lease(self, connection)));
            }
            self.retire(&mut state, connection);
        }
        Some(Way::Login(current, state.slots.take(Use::Opening)))
    }

    /// Whether the ledger has to move to another session.
    pub(super) fn ledger_moves(&self, lease: &Lease) -> bool {
        let state = self.state();
        let lifetime = self.database().server_lifetime;
        let worn = !lifetime.is_zero() && lease.age() > lifetime;
        let old = !state.is_current(&lease.generation);
        let reconnect = state.reconnect.is_some_and(|at| lease.was_open(at));
        state.search.is_good() && !state.paused && (worn || old || reconnect)
    }

    /// Ends a session of the ledger; its locks are free when the server has closed it.
    pub(super) fn end_session(self: &Arc<Self>, lease: Lease) {
        let quiet = lease.is_quiet();
        let Some(connection) = lease.into_connection() else {
            return;
        };
        if let Some(bound) = &mut self.state().fleet {
            bound.sessions = bound.sessions.saturating_sub(1);
        }
        match quiet {
            _ if connection.closed => self.forget(connection),
            true => self.retire(&mut self.state(), connection),
            // What runs there is cancelled.
            false => self.discard(connection),
        }
    }
}
