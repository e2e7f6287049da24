//! The defaults that new logins find in force (ALTER ROLE … SET, ALTER DATABASE …
//! SET). Connections that logged in before they changed are closed when they come
//! back, as those of an older generation are.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tokio::time::timeout;
use tracing::{debug, info};

use super::state::State;
use super::{Connection, Pool};
use crate::upstream::{QueryError, Quiet, Rows};

/// Asks for the defaults that hold for this role in this database. Every role may
/// read them.
const QUESTION: &str = "\
SELECT s.setdatabase, s.setrole, s.setconfig FROM pg_catalog.pg_db_role_setting s \
WHERE s.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, \
(SELECT d.oid FROM pg_catalog.pg_database d \
WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())]) \
AND s.setrole OPERATOR(pg_catalog.=) ANY (ARRAY[0::pg_catalog.oid, \
(SELECT r.oid FROM pg_catalog.pg_roles r \
WHERE r.rolname OPERATOR(pg_catalog.=) SESSION_USER)]) \
ORDER BY s.setdatabase USING OPERATOR(pg_catalog.<), s.setrole USING OPERATOR(pg_catalog.<)";

/// Asks for the role that the login has got.
const ROLE: &str = "SELECT pg_catalog.current_setting('role')";

/// Time between two looks at the defaults of a pool that is in use, in seconds.
const LOOK: u64 = 5;

/// The most places that are remembered: secrets that lead to ever new places must not fill the
/// memory.
const MOST: usize = 64;

/// What is in force for new logins (ALTER ROLE … SET, ALTER DATABASE … SET), as
/// far as it is known.
#[derive(Default)]
pub(super) struct Defaults {
    /// A digest of the defaults at each place.
    by_place: BTreeMap<Arc<str>, u64>,
    /// A number that counts up when the defaults of any place change.
    epoch: u64,
    /// The defaults may have changed, and are to be looked at soon.
    recheck: bool,
    /// Clients have used connections since the last look.
    pub(super) used: bool,
}

impl Defaults {
    /// Notes what is in force at a place; `true` if something else was before.
    fn note(&mut self, place: &Arc<str>, digest: u64) -> bool {
        if self.by_place.len() >= MOST && !self.by_place.contains_key(place) {
            self.by_place.clear();
        }
        let before = self.by_place.insert(place.clone(), digest);
        let changed = before.is_some_and(|before| before != digest);
        self.epoch += u64::from(changed);
        changed
    }
}

fn digest(rows: &Result<Vec<Rows>, QueryError>) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Ok(rows) = rows {
        rows.hash(&mut hasher);
    } // else the server is no Postgres that has them, and they never change
    hasher.finish()
}

impl Pool {
    /// Asks a connection that has just logged in which defaults it has found.
    ///
    /// # Errors
    /// [`QueryError`]: the connection is to be closed.
    pub(super) async fn learn_defaults(
        &self,
        connection: &mut Connection,
        place: &Arc<str>,
    ) -> Result<Quiet, QueryError> {
        self.facts.logged_in(connection.reported());
        let (mut rows, quiet) = connection.ask(&[QUESTION, ROLE]).await?;
        if let Ok(rows) = &mut rows
            && let Some(role) = rows.pop().into_iter().flatten().flatten().next()
        {
            connection.default_role = role.into();
        }
        connection.defaults = digest(&rows);
        connection.seen = connection.reported().digest();
        connection.epoch = self.note_defaults(place, connection.defaults);
        Ok(quiet)
    }

    /// Notes the defaults at a place; the epoch to which they belong.
    fn note_defaults(&self, place: &Arc<str>, defaults: u64) -> u64 {
        let mut state = self.state();
        if state.defaults.note(place, defaults) {
            info!(
                database = %self.name,
                "the defaults of the role or the database have changed; replacing older server connections"
            );
        }
        state.defaults.epoch
    }

    /// Whether a connection logged in under defaults that are no longer those of its
    /// place.
    pub(super) fn is_outdated(&self, state: &State, connection: &mut Connection) -> bool {
        if connection.epoch == state.defaults.epoch {
            return false;
        }
        let place = connection.backend().target.to_string();
        let now = state.defaults.by_place.get(&*place);
        if now.is_some_and(|now| *now != connection.defaults) {
            return true;
        }
        connection.epoch = state.defaults.epoch;
        false
    }

    /// Looks at the defaults: a client has changed a role or a database, which may
    /// be the one of this pool.
    pub fn defaults_may_have_changed(self: &Arc<Self>) {
        self.state().defaults.recheck = true;
        self.look_at_defaults();
    }

    /// Looks at the defaults if that is due; called every second. `now`: in the
    /// pool's seconds.
    pub(super) fn sweep_defaults(self: &Arc<Self>, now: u64) {
        let due = {
            let mut state = self.state();
            let used = state.defaults.used || state.slots.leased() > 0;
            // If no connection is free for it at this moment, the next second will do.
            state.defaults.recheck |= now.is_multiple_of(LOOK) && used;
            state.defaults.recheck
        };
        if due {
            self.look_at_defaults();
        }
    }

    /// Asks for the defaults on an idle connection. Without one, they are asked for
    /// another time.
    fn look_at_defaults(self: &Arc<Self>) {
        let lease = {
            let mut state = self.state();
            if !state.waiters.is_empty() || state.shut {
                return;
            }
            let Some(connection) = state.idle.pop() else {
                return;
            };
            let lease = state.lease(self, connection);
            state.defaults.recheck = false;
            state.defaults.used = false;
            lease
        };
        let pool = self.clone();
        tokio::spawn(async move {
            let mut lease = lease;
            let limit = pool.database().upstream.connect_timeout;
            match timeout(limit, lease.ask(&[QUESTION])).await {
                Ok(rows @ (Ok(_) | Err(QueryError::Refused(_)))) => {
                    let place: Arc<str> = lease.backend().target.to_string().into();
                    pool.note_defaults(&place, digest(&rows));
                }
                _ => debug!(database = %pool.name, "no answer about the defaults"),
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
