//! The interval in which a client holds a server connection.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::connection::Proven;
use super::{Connection, Permit, Pool};
use crate::upstream::{QueryError, Quiet, Rows};

/// A connection that is held. Dropping a lease is always safe: a connection that is
/// not proven to be quiet is closed, never handed on.
pub struct Lease {
    pool: Arc<Pool>,
    // `None` only once it was given back.
    connection: Option<Box<Connection>>,
    /// The proof that the connection is quiet; `None` once something was sent.
    quiet: Option<Quiet>,
    /// Nobody else can use the connection.
    dedicated: bool,
    /// The place that the lease takes in the quota of its client's rule.
    permit: Permit,
}

impl Lease {
    pub(super) fn new(pool: Arc<Pool>, proven: Proven) -> Self {
        let (connection, quiet) = proven.into_parts();
        Self {
            pool,
            connection: Some(connection),
            quiet: Some(quiet),
            dedicated: false,
            permit: Permit::default(),
        }
    }

    /// Nobody else will use the connection.
    pub(super) fn dedicated(mut self) -> Self {
        self.dedicated = true;
        self
    }

    /// Counts the lease in a quota, until it ends.
    pub fn hold(&mut self, permit: Permit) {
        self.permit = permit;
    }

    /// Counts the lease in no quota any more; the permit may be for another lease.
    pub fn take_permit(&mut self) -> Permit {
        std::mem::take(&mut self.permit)
    }

    /// Whether the connection logged in with the version that is in force now.
    pub fn is_current(&self) -> bool {
        self.pool.state().is_current(&self.generation)
    }

    /// Gives the proof up, because something was sent or is about to be: unless
    /// there is a new one, dropping the lease closes the connection.
    pub fn speaks(&mut self) {
        self.quiet = None;
    }

    /// Notes that the server has closed the connection: there is nothing to cancel.
    pub fn is_closed(&mut self) {
        self.closed = true;
    }

    /// Takes a new proof: the connection is known to be quiet again.
    pub fn is_proven(&mut self, quiet: Quiet) {
        self.quiet = Some(quiet);
    }

    /// Asks questions of pgvalet's own, each a simple query; their rows. If the lease
    /// is dropped meanwhile, the connection is closed.
    ///
    /// # Errors
    /// [`QueryError`]; after `Refused` the connection is quiet all the same.
    pub async fn ask(&mut self, queries: &[&str]) -> Result<Vec<Rows>, QueryError> {
        self.quiet = None;
        let (rows, quiet) = Connection::ask(self, queries).await?;
        self.quiet = Some(quiet);
        rows
    }

    /// Brings the connection back to the state of a fresh login.
    ///
    /// # Errors
    /// [`QueryError`]: the connection is good for nothing any more.
    pub(super) async fn clean(&mut self) -> Result<(), QueryError> {
        self.quiet = None;
        self.quiet = Some(Connection::clean(self, false).await?);
        Ok(())
    }

    /// Gives back a connection that other clients may use as it is, apart from what
    /// the pool knows of it: that is cleaned first, in the background.
    pub fn check_in(mut self, quiet: Quiet) {
        if self.untidy {
            self.check_in_after_cleaning(false);
        } else if self.profile.short_limits {
            self.check_in_without_limits();
        } else {
            self.quiet = Some(quiet);
        }
    }

    /// Whether nothing was sent since the connection was last proven quiet.
    pub fn is_quiet(&self) -> bool {
        self.quiet.is_some()
    }

    /// Gives back a connection that is at ReadyForQuery, but holds whatever its
    /// client left there: it is cleaned first, in the background.
    pub fn check_in_after_cleaning(mut self, in_transaction: bool) {
        if self.dedicated {
            self.quiet = None;
            return;
        }
        if let Some(connection) = self.connection.take() {
            Pool::clean_and_return(self.pool.clone(), connection, in_transaction);
        }
    }

    /// Gives back a connection under whose time limits pgvalet's own work
    /// cannot be done: they are reset first, in the background.
    fn check_in_without_limits(mut self) {
        if let Some(connection) = self.connection.take() {
            Pool::lift_limits_and_return(self.pool.clone(), connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        match self.quiet.take() {
            _ if self.dedicated => self.pool.end_dedicated(connection),
            None if connection.closed => self.pool.forget(connection),
            Some(_) if connection.untidy => {
                Pool::clean_and_return(self.pool.clone(), connection, false);
            }
            Some(quiet) => self.pool.give_back(Proven::new(connection, quiet)),
            None => self.pool.discard(connection),
        }
    }
}

// The connection is there for the whole life of a lease that anybody can see.
impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &self.connection {
            Some(connection) => connection,
            None => unreachable!("a lease is consumed when its connection is taken"),
        }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        match &mut self.connection {
            Some(connection) => connection,
            None => unreachable!("a lease is consumed when its connection is taken"),
        }
    }
}

impl Lease {
    /// Takes the connection out, to close it.
    pub(super) fn into_connection(mut self) -> Option<Box<Connection>> {
        self.connection.take()
    }

    /// Takes the connection out with its proof; `None` if something was sent.
    pub(super) fn into_proven(mut self) -> Option<Proven> {
        let quiet = self.quiet.take()?;
        Some(Proven::new(self.connection.take()?, quiet))
    }
}
