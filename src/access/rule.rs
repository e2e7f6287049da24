//! `[[client]]`: what a rule says.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{Identity, Validity};
use crate::secret::SecretId;

/// What a rule lets its clients do in the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminRight {
    /// Look at what there is.
    Read,
    /// Look at what there is, and change it.
    Change,
}

/// The names under which clients ask for the console instead of a database.
pub const CONSOLE: [&str; 2] = ["pgvalet", "pgbouncer"];

/// Whether a client that asks for this database asks for the console.
pub fn is_console(database: &str) -> bool {
    CONSOLE.contains(&database)
}

/// A `[[client]]` rule: who its clients are, and what they may use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    pub name: Arc<str>,
    /// The place of the rule among the rules, from 1, by which records and `explain` name it.
    pub number: usize,
    pub identity: Identity,
    /// The databases as the file names them.
    pub patterns: Vec<Arc<str>>,
    /// The databases that the rule's clients may use, in the order of the file. Patterns
    /// (`orders_*`) are replaced by the databases that they match.
    pub databases: Vec<Arc<str>>,
    /// Whether the rule's clients may use the console, and for what.
    pub admin: Option<AdminRight>,
    /// User names that a client may ask for; `None` is any, because the upstream
    /// user comes from the secret anyway.
    pub users: Option<Vec<String>>,
    /// The secret for the rule's clients, instead of the database's.
    pub secret: Option<SecretId>,
    /// How many of the pool's server connections the rule's clients may hold at once.
    pub pool_size: Option<usize>,
    /// How many sessions of this name there may be at once.
    pub max_clients: Option<usize>,
    /// When the rule is in force; `None` is always.
    pub valid: Option<Validity>,
}

impl Rule {
    /// Whether the rule is in force at a moment.
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        self.valid.as_ref().is_none_or(|valid| valid.holds(now))
    }

    /// Whether the rule's clients may use a database, or the console under one of its names.
    pub fn grants(&self, database: &str) -> bool {
        match is_console(database) {
            true => self.admin.is_some(),
            false => self.databases.iter().any(|d| **d == *database),
        }
    }

    /// Whether sessions of the rule's clients end when their tokens do.
    pub fn ends_with_token(&self) -> bool {
        (self.identity.token.as_ref()).is_some_and(|token| token.end_at_expiry)
    }

    /// Whether every connection that `later` would let in is decided by this rule,
    /// which stands before it.
    pub fn covers(&self, later: &Self) -> bool {
        let users = match (&self.users, &later.users) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(later)) => later.iter().all(|user| own.contains(user)),
        };
        let databases = later.databases.iter().all(|d| self.databases.contains(d));
        let console = later.admin.is_none() || self.admin.is_some();
        let valid = self.valid.is_none() || self.valid == later.valid;
        users && databases && console && valid && self.identity.covers(&later.identity)
    }
}
