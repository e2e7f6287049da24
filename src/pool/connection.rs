//! A server connection as a pool keeps it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::owners::Owner;
use super::roster::Registered;
use super::slots::Slot;
use super::{Generation, Prepared, Profile, Profiles};
use crate::net::Stream;
use crate::upstream::{Backend, QueryError, Quiet, Reported, Rows, Server};

/// A logged-in server connection, and what the pool knows of its state.
pub struct Connection {
    server: Server,
    /// What others see of the connection, for as long as it is there.
    registered: Arc<Registered>,
    /// What the connection counts as in the pool.
    pub(super) slot: Slot,
    /// The generation that the connection logged in with.
    pub generation: Arc<Generation>,
    /// The settings in force on the connection: the profile of whoever used it last.
    pub profile: Arc<Profile>,
    pub prepared: Prepared,
    /// The identity that used the connection since its login or its last cleaning.
    pub(super) owner: Option<Owner>,
    /// A digest of the defaults of role and database that this login found.
    pub defaults: u64,
    /// The epoch of the pool's defaults at which `defaults` was last compared
    /// (see [`Defaults`](super::defaults::Defaults)).
    pub(super) epoch: u64,
    /// The connection holds something that nobody keeps account of: it is cleaned before it is lent
    /// again.
    pub untidy: bool,
    /// The connection holds something that ends only with it: it cannot be cleaned.
    spoilt: bool,
    /// A client has used the connection: what it did there may be why a later one's setting is
    /// refused.
    pub worn: bool,
    /// The role that a login gets by default (ALTER ROLE … SET role), as `role` shows it.
    pub default_role: Box<str>,
    /// The digest of what the connection reports, as the pool's facts have it.
    pub seen: u64,
    /// The time at which the connection became idle, in the pool's seconds.
    pub(super) idle_since: u64,
    /// The time of the connection's last answer to a question of pgvalet's own, or of the end of
    /// its login.
    pub(super) answered: Instant,
    /// The server has closed the connection.
    pub(super) closed: bool,
    /// The connection has logged in for the ledger of the share, and counts nowhere.
    pub(super) for_ledger: bool,
}

impl Connection {
    pub(super) fn new(server: Server, generation: Arc<Generation>, slot: Slot) -> Self {
        generation.established.fetch_add(1, Ordering::AcqRel);
        let registered = Registered::new(&server);
        generation.roster.add(&registered);
        Self {
            registered,
            server,
            slot,
            generation,
            profile: Profile::initial(),
            prepared: Prepared::default(),
            owner: None,
            untidy: false,
            spoilt: false,
            worn: false,
            default_role: "none".into(),
            seen: 0,
            defaults: 0,
            epoch: 0,
            idle_since: 0,
            answered: Instant::now(),
            closed: false,
            for_ledger: false,
        }
    }

    /// Notes that the connection holds something that ends only with it. Such a connection is
    /// closed where it would be cleaned.
    pub fn spoil(&mut self) {
        (self.spoilt, self.untidy) = (true, true);
    }

    /// The backend, by which what runs there can be cancelled.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.server.backend
    }

    /// The values of ParameterStatus, as last reported.
    pub fn reported(&self) -> &Reported {
        &self.server.reported
    }

    /// What the server's answers to a client change.
    pub fn answered(&mut self) -> (&mut Prepared, &mut Reported) {
        (&mut self.prepared, &mut self.server.reported)
    }

    /// The bytes to and from the server. A lease that writes has to say so first
    /// ([`Lease::speaks`](super::Lease::speaks)).
    pub fn stream(&mut self) -> &mut Stream {
        self.server.stream()
    }

    /// NotificationResponses that came while pgvalet asked something, in order.
    pub fn heard(&self) -> &[Box<[u8]>] {
        &self.server.heard
    }

    /// Takes out the notifications that came while pgvalet asked something.
    pub fn take_heard(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.server.heard)
    }

    /// Drops the notifications for which `unwanted` holds.
    pub fn forget_heard(&mut self, unwanted: impl Fn(&[u8]) -> bool) {
        self.server.heard.retain(|heard| !unwanted(heard));
    }

    /// Names of the time limits that this server's version has.
    pub fn limits(&self) -> &'static [&'static str] {
        self.server.limits()
    }

    /// SQL that takes the time limits out of force.
    pub fn no_limits(&self) -> String {
        self.server.no_limits()
    }

    /// Whether the server has neither hung up nor said anything unasked.
    pub(super) fn is_alive(&mut self) -> bool {
        self.server.is_alive()
    }

    /// Whether the server has been promoted since the login.
    pub(super) fn has_changed_role(&self) -> bool {
        self.server.has_changed_role()
    }

    /// Whether the connection was there at a moment.
    pub(super) fn was_open(&self, at: Instant) -> bool {
        self.registered.opened_at <= at
    }

    /// Time since the login.
    pub(super) fn age(&self) -> Duration {
        self.server.opened_at.elapsed()
    }

    /// Takes the connection apart, to close it.
    pub(super) fn into_parts(self) -> (Server, Arc<Generation>, Slot) {
        (self.server, self.generation, self.slot)
    }

    /// Asks questions of pgvalet's own; returns the rows of each, and the proof that the connection
    /// is quiet afterwards. The connection has to be at rest.
    ///
    /// # Errors
    /// [`QueryError`]. With `Refused` there is a proof too, in the first part.
    pub(super) async fn ask(
        &mut self,
        queries: &[&str],
    ) -> Result<(Result<Vec<Rows>, QueryError>, Quiet), QueryError> {
        self.prepared.simple_query();
        let answers = self.server.exchange(queries).await;
        self.closed |= matches!(answers, Err(QueryError::Io(_) | QueryError::Closed));
        let answers = answers?;
        self.answered = Instant::now();
        let rows = match answers.failed {
            None => Ok(answers.rows),
            Some(fields) => Err(QueryError::Refused(fields)),
        };
        Ok((rows, answers.quiet))
    }

    /// Resets the time limits that a client has set.
    ///
    /// # Errors
    /// [`QueryError`]: the connection is to be closed.
    pub(super) async fn lift_limits(&mut self, profiles: &Profiles) -> Result<Quiet, QueryError> {
        let reset = |name: &&str| format!("RESET {name}");
        let resets: Vec<String> = self.limits().iter().map(reset).collect();
        let (no_limits, resets) = (self.no_limits(), resets.join("; "));
        let (rows, quiet) = self.ask(&[&no_limits, &resets]).await?;
        rows?;
        self.profile = profiles.intern(self.profile.without_limits());
        Ok(quiet)
    }

    /// Brings the connection back to the state of a fresh login.
    ///
    /// # Errors
    /// [`QueryError`]: the connection is to be closed.
    pub(super) async fn clean(&mut self, in_transaction: bool) -> Result<Quiet, QueryError> {
        if self.spoilt {
            return Err(QueryError::Closed); // what it holds ends with it
        }
        let quiet = self.server.clean(in_transaction).await?;
        self.profile = Profile::initial();
        self.prepared = Prepared::default();
        self.owner = None;
        self.untidy = false;
        Ok(quiet)
    }
}

/// A connection together with the proof that it is quiet. Only in this form it
/// lies in the pool, and is lent.
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

    /// Gives the proof up, to clean or close the connection.
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
