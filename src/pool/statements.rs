//! Prepared statements that outlive a lease.
//!
//! A client's statement name is its own. What the client parsed is a
//! [`Statement`], one object for all clients that parsed the same text with the
//! same parameter types; on a server connection it goes by a name made of its
//! number, and is prepared there when it is first needed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};

use super::suspicion::{Suspicion, suspect};
use crate::wire::frame::cstr;

pub struct Statement {
    pub id: u64,
    /// Its name on server connections.
    pub name: Box<str>,
    /// The body of its Parse message behind the name: text, NUL, parameter types.
    pub body: Arc<[u8]>,
    /// What running it gives reason to suspect.
    pub suspicion: Option<Box<Suspicion>>,
}

/// The statements of a pool's clients, by content.
pub struct Statements {
    /// No client can guess another one's statement: SQL (EXECUTE, DEALLOCATE)
    /// reaches them by their names on the server.
    prefix: String,
    by_body: Mutex<HashMap<Arc<[u8]>, Weak<Statement>>>,
    next: AtomicU64,
}

impl Default for Statements {
    fn default() -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        Self::named(&random[..16])
    }
}

impl Statements {
    /// With names that a test can foretell.
    pub(crate) fn named(word: &str) -> Self {
        Self {
            prefix: format!("pgvalet_{word}_"),
            by_body: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }
}

impl Statements {
    /// A statement's name on server connections.
    pub fn server_name(&self, id: u64) -> String {
        format!("{}{id}", self.prefix)
    }

    /// The one object for this text and these parameter types.
    pub fn intern(&self, body: &[u8]) -> Arc<Statement> {
        let mut by_body = self.by_body.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(statement) = by_body.get(body).and_then(Weak::upgrade) {
            return statement;
        }
        // Sweeping whenever the map has doubled keeps it within twice of what
        // is alive, at a constant cost a statement.
        if by_body.len() == by_body.capacity() {
            by_body.retain(|_, s| s.strong_count() > 0);
        }
        let statement = self.unshared(body);
        by_body.insert(statement.body.clone(), Arc::downgrade(&statement));
        statement
    }

    /// A statement that nobody else will ever be given.
    pub fn unshared(&self, body: &[u8]) -> Arc<Statement> {
        let id = self.next.fetch_add(1, Relaxed) + 1;
        Arc::new(Statement {
            id,
            name: self.server_name(id).into(),
            body: body.into(),
            suspicion: suspect(cstr(body).unwrap_or(body)),
        })
    }

    /// The server's plan for it is outdated ("cached plan must not change
    /// result type"): whoever parses the text from now on gets a fresh one.
    pub fn forget(&self, statement: &Statement) {
        let mut by_body = self.by_body.lock().unwrap_or_else(|e| e.into_inner());
        if by_body
            .get(&statement.body)
            .and_then(Weak::upgrade)
            .is_some_and(|s| s.id == statement.id)
        {
            by_body.remove(&statement.body);
        }
    }
}

/// Statements kept on one server connection.
const MAX_PREPARED: usize = 200;

/// What is prepared on one server connection; the least recently used goes
/// when there are too many.
#[cfg_attr(test, derive(Clone))]
pub struct Prepared {
    used: HashMap<u64, u64>,
    clock: u64,
    limit: usize,
    /// Which unnamed statement lies there, where that is known.
    pub unnamed: Option<Unnamed>,
}

/// One of the unnamed statements that a session has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unnamed {
    pub session: u64,
    /// Counted up whenever the session gets another one, or none.
    pub turn: u64,
}

impl Default for Prepared {
    fn default() -> Self {
        Self::with_limit(MAX_PREPARED)
    }
}

impl Prepared {
    /// Nothing yet, and never more than `limit` statements.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            used: HashMap::new(),
            clock: 0,
            limit: limit.max(1),
            unnamed: None,
        }
    }

    /// Whether a statement is there; if so, it has just been used.
    pub fn touch(&mut self, id: u64) -> bool {
        self.clock += 1;
        match self.used.get_mut(&id) {
            Some(used) => {
                *used = self.clock;
                true
            }
            None => false,
        }
    }

    /// The statement that has to be closed before another one is prepared, if
    /// one has to; to be asked until none is left.
    pub fn evict(&mut self) -> Option<u64> {
        if self.used.len() < self.limit {
            return None;
        }
        let (&oldest, _) = self.used.iter().min_by_key(|(_, used)| **used)?;
        self.used.remove(&oldest);
        Some(oldest)
    }

    /// Notes a statement; it has just been used.
    pub fn insert(&mut self, id: u64) {
        self.clock += 1;
        self.used.insert(id, self.clock);
    }

    pub fn remove(&mut self, id: u64) {
        self.used.remove(&id);
    }

    /// After DISCARD ALL or DEALLOCATE ALL, which leave the unnamed statement.
    pub fn clear(&mut self) {
        self.used.clear();
    }

    pub fn len(&self) -> usize {
        self.used.len()
    }

    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_statement_while_somebody_has_it() {
        let statements = Statements::default();
        let one = statements.intern(b"select 1\0\0\0");
        assert_eq!(one.id, statements.intern(b"select 1\0\0\0").id);
        assert_ne!(one.id, statements.intern(b"select 2\0\0\0").id);
        let id = one.id;
        drop(one);
        assert_ne!(id, statements.intern(b"select 1\0\0\0").id);
    }

    #[test]
    fn a_forgotten_statement_is_parsed_afresh() {
        let statements = Statements::default();
        let old = statements.intern(b"select * from t\0\0\0");
        statements.forget(&old);
        let new = statements.intern(b"select * from t\0\0\0");
        assert_ne!(old.id, new.id);
        statements.forget(&old); // a second report changes nothing
        assert_eq!(new.id, statements.intern(b"select * from t\0\0\0").id);
    }

    #[test]
    fn the_least_recently_used_goes() {
        let mut prepared = Prepared::with_limit(2);
        prepared.insert(1);
        assert_eq!(prepared.evict(), None);
        prepared.insert(2);
        assert!(prepared.touch(1));
        assert_eq!(prepared.evict(), Some(2));
        prepared.insert(3);
        assert!(!prepared.touch(2));
        assert_eq!(prepared.len(), 2);
    }
}
