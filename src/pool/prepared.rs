//! What is prepared on one server connection.

use std::collections::HashMap;

use crate::wire::message;

/// How many statements are kept on one server connection.
const MAX_PREPARED: usize = 200;

/// What is prepared on one server connection. When there are too many statements,
/// the least recently used is closed.
#[cfg_attr(test, derive(Clone))]
pub struct Prepared {
    copies: HashMap<u64, Copy>,
    /// Copies that were replaced by others, and are still to be closed.
    outdated: Vec<Evicted>,
    clock: u64,
    limit: usize,
    /// The session whose unnamed statement is on the connection, where that is known.
    unnamed: Option<Unnamed>,
}

/// A statement as it was parsed on one server connection.
#[derive(Debug, Clone, Copy)]
struct Copy {
    /// The number in its name: a copy with a higher one was parsed later.
    number: u64,
    used: u64,
}

/// An unnamed statement that a session has had.
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
    /// Begins with nothing, and never keeps more than `limit` statements.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            copies: HashMap::new(),
            outdated: Vec::new(),
            clock: 0,
            limit: limit.max(1),
            unnamed: None,
        }
    }

    /// The session whose unnamed statement is on the connection, where that is known.
    pub fn unnamed(&self) -> Option<Unnamed> {
        self.unnamed
    }

    /// A message was sent that makes the unnamed statement a session's own.
    pub fn set_unnamed(&mut self, unnamed: Unnamed) {
        self.unnamed = Some(unnamed);
    }

    /// There is no unnamed statement, or nobody knows whose it is.
    pub fn forget_unnamed(&mut self) {
        self.unnamed = None;
    }

    /// A simple query is sent: the server drops the unnamed statement before it
    /// runs one (PostgreSQL, "Message Flow", "Extended Query").
    pub fn simple_query(&mut self) {
        self.forget_unnamed();
    }

    /// Writes a simple query of pgvalet's own.
    pub fn query(&mut self, sql: &str, out: &mut Vec<u8>) {
        message::query(out, sql);
        self.simple_query();
    }

    /// Uses a statement's copy; returns its number, if it was parsed at `since` or later.
    pub fn touch(&mut self, id: u64, since: u64) -> Option<u64> {
        let copy = self.copies.get_mut(&id)?;
        if copy.number < since {
            return None;
        }
        self.clock += 1;
        copy.used = self.clock;
        Some(copy.number)
    }

    /// Takes out a copy that has to be closed before another one is made; to be called until there
    /// is none.
    pub fn evict(&mut self) -> Option<Evicted> {
        if let Some(outdated) = self.outdated.pop() {
            return Some(outdated);
        }
        if self.copies.len() < self.limit {
            return None;
        }
        let (&id, _) = self.copies.iter().min_by_key(|(_, copy)| copy.used)?;
        self.remove(id)
    }

    /// Notes a new copy, as just used. One that it replaces is evicted next.
    pub fn insert(&mut self, id: u64, number: u64) {
        self.clock += 1;
        let used = self.clock;
        if let Some(Copy { number: before, .. }) = self.copies.insert(id, Copy { number, used })
            && before != number
        {
            self.outdated.push(Evicted { id, number: before });
        }
    }

    /// Takes an eviction back: the copy is still there.
    pub fn restore(&mut self, evicted: Evicted) {
        if self.copies.contains_key(&evicted.id) {
            self.outdated.push(evicted);
        } else {
            self.insert(evicted.id, evicted.number);
        }
    }

    /// Forgets the copy of a statement.
    pub fn remove(&mut self, id: u64) -> Option<Evicted> {
        let number = self.copies.remove(&id)?.number;
        Some(Evicted { id, number })
    }

    /// Evicts the copy of a statement next, because it is not what it should be.
    pub fn outdate(&mut self, id: u64) {
        let evicted = self.remove(id);
        self.outdated.extend(evicted);
    }

    /// The statement of which the copy with this number is.
    pub fn statement_of(&self, number: u64) -> Option<u64> {
        let mut copies = self.copies.iter();
        let (id, _) = copies.find(|(_, copy)| copy.number == number)?;
        Some(*id)
    }

    /// Forgets the copy with this number, whichever statement it is of.
    pub fn remove_number(&mut self, number: u64) {
        self.copies.retain(|_, copy| copy.number != number);
        self.outdated.retain(|copy| copy.number != number);
    }

    /// Counts the copy with this number as one of statement `to`, which was found to mean the same
    /// as `from`.
    pub fn is_of(&mut self, number: u64, from: u64, to: u64) {
        if self.copies.get(&from).is_some_and(|c| c.number == number) {
            self.copies.remove(&from);
            self.insert(to, number);
        } // else it is gone
    }

    /// Forgets all copies, after DISCARD ALL or DEALLOCATE ALL. These leave the
    /// unnamed statement.
    pub fn clear(&mut self) {
        self.copies.clear();
        self.outdated.clear();
    }

    /// How many copies there are on the server.
    pub fn len(&self) -> usize {
        self.copies.len() + self.outdated.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[cfg(any(test, fuzzing))]
    pub fn numbers(&self) -> std::collections::BTreeSet<u64> {
        let outdated = self.outdated.iter().map(|copy| copy.number);
        let copies = self.copies.values().map(|copy| copy.number);
        copies.chain(outdated).collect()
    }
}

/// A copy that is to be closed on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evicted {
    pub id: u64,
    pub number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_too_old_is_none() {
        let mut prepared = Prepared::with_limit(5);
        prepared.insert(1, 10);
        assert_eq!(prepared.touch(1, 10), Some(10));
        assert_eq!(prepared.touch(1, 11), None);
        prepared.insert(1, 12);
        assert_eq!(prepared.evict(), Some(Evicted { id: 1, number: 10 }));
        assert_eq!(prepared.touch(1, 11), Some(12));
        prepared.insert(20, 20);
        prepared.is_of(20, 20, 1);
        assert_eq!(prepared.evict(), Some(Evicted { id: 1, number: 12 }));
        assert_eq!(prepared.touch(1, 11), Some(20));
        assert_eq!(prepared.len(), 1);
    }

    #[test]
    fn the_least_recently_used_goes() {
        let mut prepared = Prepared::with_limit(2);
        prepared.insert(1, 1);
        assert_eq!(prepared.evict(), None);
        prepared.insert(2, 2);
        assert!(prepared.touch(1, 0).is_some());
        assert_eq!(prepared.evict(), Some(Evicted { id: 2, number: 2 }));
        prepared.insert(3, 3);
        assert!(prepared.touch(2, 0).is_none());
        assert_eq!(prepared.len(), 2);
    }
}
