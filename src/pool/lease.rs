//! The interval in which a client holds a server connection.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::{Connection, Pool};

/// A held connection. Dropping it is always safe: a connection that is not
/// known to be clean is closed, never handed on.
pub struct Lease {
    pool: Arc<Pool>,
    // `None` only once it was given back.
    connection: Option<Box<Connection>>,
    /// Something was sent since the last point at which it was known clean.
    pub dirty: bool,
    /// Nobody else can use the connection.
    dedicated: bool,
}

impl Lease {
    pub(super) fn new(pool: Arc<Pool>, connection: Box<Connection>) -> Self {
        Self {
            pool,
            connection: Some(connection),
            dirty: false,
            dedicated: false,
        }
    }

    pub(super) fn dedicated(pool: Arc<Pool>, connection: Box<Connection>) -> Self {
        let mut lease = Self::new(pool, connection);
        lease.dedicated = true;
        lease
    }

    /// Whether it logged in with the version that is in force now.
    pub fn is_current(&self) -> bool {
        self.pool.state().is_current(&self.generation)
    }

    /// Gives a clean connection back.
    pub fn check_in(mut self) {
        self.dirty = false;
    }

    /// Gives back a connection that is at ReadyForQuery, but holds whatever
    /// its client left there: it is cleaned first, in the background.
    pub fn check_in_after_cleaning(mut self, in_transaction: bool) {
        if self.dedicated {
            return self.check_in();
        }
        if let Some(connection) = self.connection.take() {
            Pool::clean_and_return(self.pool.clone(), connection, in_transaction);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            if self.dirty {
                self.pool.discard(connection);
            } else if self.dedicated {
                self.pool.retire_leased(connection);
            } else {
                self.pool.give_back(connection);
            }
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
    /// Takes the connection out without giving it back.
    pub(super) fn into_connection(mut self) -> Option<Box<Connection>> {
        self.connection.take()
    }
}
