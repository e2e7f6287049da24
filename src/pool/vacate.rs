//! Leaving a database for which nobody else may be connected, because a client drops,
//! renames or copies it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::connection::Proven;
use super::{Connection, Pool};
use crate::upstream::Backend;

/// How long nothing is kept idle: Postgres waits five seconds until others have left.
const VACANT: Duration = Duration::from_secs(6);

/// A database to which no connection is kept idle for a moment.
pub(super) struct Vacant {
    dbname: Box<str>,
    /// A backend of its server.
    at: Arc<Backend>,
    until: Instant,
}

impl Vacant {
    fn is_left_by(&self, connection: &Connection) -> bool {
        let backend = connection.backend();
        *backend.target.dbname == *self.dbname && backend.shares_server(&self.at)
    }

    pub fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Whether a connection is not to be kept.
    pub fn wants_gone(&self, connection: &Connection) -> bool {
        self.is_left_by(connection) && !self.is_over()
    }
}

impl Pool {
    /// Closes idle connections to a database, and keeps none there for a moment. Ends when
    /// they are closed. `at`: a backend of the database's server.
    pub async fn vacate(self: &Arc<Self>, dbname: &str, at: &Arc<Backend>) {
        let leaving = {
            let mut state = self.state();
            let leads = |dbname: &str| {
                let current = state.current.as_ref();
                current.is_some_and(|g| *g.target.dbname == *dbname)
            };
            if !leads(dbname) {
                return;
            }
            let vacant = Vacant {
                dbname: dbname.into(),
                at: at.clone(),
                until: Instant::now() + VACANT,
            };
            let idle = std::mem::take(&mut state.idle);
            let (theirs, kept) = idle.into_iter().partition(|c| vacant.is_left_by(c));
            state.idle = kept;
            state.vacant = Some(vacant);
            let theirs: Vec<Proven> = theirs;
            let closing = theirs.into_iter().map(|c| self.closing(&mut state, c));
            closing.collect::<Vec<_>>()
        };
        join_all(leaving).await;
    }
}
