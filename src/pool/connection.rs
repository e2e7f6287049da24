//! A server connection as a pool keeps it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Generation, Prepared, Profile, Profiles};
use crate::upstream::{QueryError, Quiet, Rows, Server};

pub struct Connection {
    pub server: Server,
    pub generation: Arc<Generation>,
    /// What is set on it: the profile of whoever used it last.
    pub profile: Arc<Profile>,
    pub prepared: Prepared,
    /// The identity that used it since its login or its last cleaning.
    pub(super) last_client: Option<Arc<str>>,
    /// What is in force for logins, as a digest, at the time of this one; and
    /// when that was last compared (see [`State`](super::state::State)).
    pub defaults: u64,
    pub(super) epoch: u64,
    /// It holds something that nobody keeps account of: before it is lent again
    /// it is cleaned.
    pub untidy: bool,
    /// The digest of what it reports, as the pool's facts have it.
    pub seen: u64,
    /// In the pool's seconds.
    pub(super) idle_since: u64,
}

impl Connection {
    pub(super) fn new(server: Server, generation: Arc<Generation>) -> Self {
        generation.established.fetch_add(1, Ordering::AcqRel);
        Self {
            server,
            generation,
            profile: Profile::initial(),
            prepared: Prepared::default(),
            last_client: None,
            untidy: false,
            seen: 0,
            defaults: 0,
            epoch: 0,
            idle_since: 0,
        }
    }

    /// Asks questions of pgvalet's own: the rows of each, and the proof that
    /// the connection is quiet afterwards. The connection has to be at rest.
    ///
    /// # Errors
    /// [`QueryError`]. With `Refused` there is a proof too, in the first part.
    pub(super) async fn ask(
        &mut self,
        queries: &[&str],
    ) -> Result<(Result<Vec<Rows>, QueryError>, Quiet), QueryError> {
        self.prepared.unnamed = None; // a simple query drops it
        let answers = self.server.exchange(queries).await?;
        let rows = match answers.failed {
            None => Ok(answers.rows),
            Some(fields) => Err(QueryError::Refused(fields)),
        };
        Ok((rows, answers.quiet))
    }

    /// Resets the time limits that a client has set.
    pub(super) async fn lift_limits(&mut self, profiles: &Profiles) -> Result<Quiet, QueryError> {
        let reset = |name: &&str| format!("RESET {name}");
        let resets: Vec<String> = self.server.limits().iter().map(reset).collect();
        let (no_limits, resets) = (self.server.no_limits(), resets.join("; "));
        let (rows, quiet) = self.ask(&[&no_limits, &resets]).await?;
        rows?;
        self.profile = profiles.intern(self.profile.without_limits());
        Ok(quiet)
    }

    /// Brings the connection back to the state of a fresh login.
    pub(super) async fn clean(&mut self, in_transaction: bool) -> Result<Quiet, QueryError> {
        let quiet = self.server.clean(in_transaction).await?;
        self.profile = Profile::initial();
        self.prepared = Prepared::default();
        self.last_client = None;
        self.untidy = false;
        Ok(quiet)
    }
}

/// A connection together with the proof that it is quiet. Only as such it lies
/// in the pool, and is lent.
pub(super) struct Proven {
    connection: Box<Connection>,
    quiet: Quiet,
}

impl Proven {
    pub fn new(connection: Box<Connection>, quiet: Quiet) -> Self {
        Self { connection, quiet }
    }

    pub fn into_parts(self) -> (Box<Connection>, Quiet) {
        (self.connection, self.quiet)
    }

    /// To be closed.
    pub fn into_connection(self) -> Box<Connection> {
        self.connection
    }
}

impl Deref for Proven {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Proven {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl From<Proven> for Box<Connection> {
    fn from(proven: Proven) -> Self {
        proven.connection
    }
}
