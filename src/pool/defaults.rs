//! What new logins find in force (ALTER ROLE … SET, ALTER DATABASE … SET), and
//! connections that logged in before that changed: they go when they come back,
//! as those of an older generation do.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tokio::time::timeout;
use tracing::{debug, info};

use super::connection::Proven;
use super::state::State;
use super::{Connection, Pool};
use crate::upstream::{QueryError, Rows};

/// Every role may read these.
const QUESTION: &str = "\
SELECT s.setdatabase, s.setrole, s.setconfig FROM pg_catalog.pg_db_role_setting s \
WHERE s.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, \
(SELECT d.oid FROM pg_catalog.pg_database d \
WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())]) \
AND s.setrole OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, \
(SELECT r.oid FROM pg_catalog.pg_roles r \
WHERE r.rolname OPERATOR(pg_catalog.=) SESSION_USER)]) \
ORDER BY s.setdatabase USING OPERATOR(pg_catalog.<), s.setrole USING OPERATOR(pg_catalog.<)";

/// Seconds between two looks at the defaults of a pool that is in use.
const LOOK: u64 = 5;

/// Hosts that are remembered.
const HOSTS: usize = 64;

fn digest(rows: &Result<Vec<Rows>, QueryError>) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Ok(rows) = rows {
        rows.hash(&mut hasher);
    } // else it is no Postgres that has them, and they never change
    hasher.finish()
}

impl Pool {
    /// Asks a connection that has just logged in what it has found.
    pub(super) async fn learn_defaults(
        &self,
        connection: Proven,
        place: &Arc<str>,
    ) -> Result<Proven, QueryError> {
        self.facts.logged_in(connection.reported());
        let (mut connection, _) = connection.into_parts();
        let (rows, quiet) = connection.ask(&[QUESTION]).await?;
        connection.defaults = digest(&rows);
        connection.seen = connection.reported().digest();
        connection.epoch = self.note_defaults(place, connection.defaults);
        Ok(Proven::new(connection, quiet))
    }

    /// What is in force for logins at a host; the number of that.
    fn note_defaults(&self, place: &Arc<str>, defaults: u64) -> u64 {
        let mut state = self.state();
        if state.defaults.len() >= HOSTS && !state.defaults.contains_key(place) {
            state.defaults.clear();
        }
        let before = state.defaults.insert(place.clone(), defaults);
        if before.is_some_and(|before| before != defaults) {
            state.epoch += 1;
            info!(
                database = %self.database.name,
                "the defaults of the role or the database have changed: older server connections are replaced"
            );
        }
        state.epoch
    }

    /// Whether a connection logged in under defaults that are no longer those
    /// of its host.
    pub(super) fn is_outdated(&self, state: &State, connection: &mut Connection) -> bool {
        if connection.epoch == state.epoch {
            return false;
        }
        let place = connection.backend().target.to_string();
        let now = state.defaults.get(&*place);
        if now.is_some_and(|now| *now != connection.defaults) {
            return true;
        }
        connection.epoch = state.epoch;
        false
    }

    /// A client has changed a role or a database, for all that is known the one
    /// that this pool uses.
    pub fn defaults_may_have_changed(self: &Arc<Self>) {
        self.state().recheck = true;
        self.look_at_defaults();
    }

    /// Every second.
    pub(super) fn sweep_defaults(self: &Arc<Self>, now: u64) {
        let due = {
            let state = self.state();
            state.recheck || now.is_multiple_of(LOOK) && state.leased > 0
        };
        if due {
            self.look_at_defaults();
        }
    }

    /// Asks what is in force, on a connection that is idle now; else another
    /// time.
    fn look_at_defaults(self: &Arc<Self>) {
        let lease = {
            let mut state = self.state();
            if !state.waiters.is_empty() || state.shut {
                return;
            }
            let Some(connection) = state.idle.pop() else {
                return;
            };
            state.recheck = false;
            state.leased += 1;
            super::Lease::new(self.clone(), connection)
        };
        let pool = self.clone();
        tokio::spawn(async move {
            let mut lease = lease;
            let limit = pool.database.upstream.connect_timeout;
            match timeout(limit, lease.ask(&[QUESTION])).await {
                Ok(rows @ (Ok(_) | Err(QueryError::Refused(_)))) => {
                    let place: Arc<str> = lease.backend().target.to_string().into();
                    pool.note_defaults(&place, digest(&rows));
                }
                _ => debug!(database = %pool.database.name, "no answer about the defaults"),
            }
            drop(lease);
            pool.retire_outdated();
        });
    }

    fn retire_outdated(self: &Arc<Self>) {
        let mut state = self.state();
        for mut connection in std::mem::take(&mut state.idle) {
            if self.is_outdated(&state, &mut connection) {
                self.retire(&mut state, connection);
            } else {
                state.idle.push(connection);
            }
        }
    }
}
