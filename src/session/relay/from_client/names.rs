//! A client's named statements, and the memory that they take.

use std::collections::HashMap;
use std::sync::Arc;

use crate::pool::Statement;
use crate::session::relay::replies::Named;

/// The memory that one client's statements may take, names included.
const MOST_BYTES: u32 = 64 << 20;
/// The number of statements that one client may have: also a client that closes none is
/// limited.
const MOST: usize = 1 << 16;
/// The number of statements among which the name of one is looked for.
const LOOKED_AT: usize = 1000;
/// The memory that one statement takes beside its name and its text.
const AROUND: usize = 256;

#[derive(Default)]
pub(super) struct Names {
    /// The statements by name. Boxed, because most clients name none, and every session has this
    /// field.
    #[expect(
        clippy::box_collection,
        reason = "a map takes 48 bytes where it is empty, too"
    )]
    by_name: Option<Box<HashMap<Box<[u8]>, Named>>>,
    /// The memory that the statements take. (Every session has this number and the next, so they
    /// are small.)
    bytes: u32,
    /// The memory of statements that were given up in this batch: its answers are still
    /// awaited, and what a failure would bring back is kept.
    given_up: u32,
}

fn weight(name: &[u8], body: &[u8]) -> u32 {
    u32::try_from(name.len() + body.len() + AROUND).unwrap_or(u32::MAX)
}

impl Names {
    /// Whether there is room for one more statement with this body.
    pub fn has_room(&self, name: &[u8], body: &[u8]) -> bool {
        let kept = self.bytes.saturating_add(self.given_up);
        self.len() < MOST && kept.saturating_add(weight(name, body)) <= MOST_BYTES
    }

    /// Notes that no answer is awaited that could bring back a statement which was given up.
    pub fn settle(&mut self) {
        self.given_up = 0;
    }

    pub fn get(&self, name: &[u8]) -> Option<&Named> {
        self.by_name.as_ref()?.get(name)
    }

    pub fn contains_key(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    pub fn insert(&mut self, name: Box<[u8]>, named: Named) -> Option<Named> {
        let before = self.remove(&name);
        let weight = weight(&name, &named.statement.body);
        self.bytes = self.bytes.saturating_add(weight);
        self.by_name.get_or_insert_default().insert(name, named);
        before
    }

    pub fn remove(&mut self, name: &[u8]) -> Option<Named> {
        let named = self.by_name.as_mut()?.remove(name)?;
        let weight = weight(name, &named.statement.body);
        self.bytes = self.bytes.saturating_sub(weight);
        self.given_up = self.given_up.saturating_add(weight);
        Some(named)
    }

    /// Replaces a statement by one that was found to be the same.
    pub fn replace_statement(
        &mut self,
        name: &[u8],
        parsed: &Arc<Statement>,
        same: &Arc<Statement>,
    ) {
        if let Some(named) = self.by_name.as_mut().and_then(|all| all.get_mut(name))
            && Arc::ptr_eq(&named.statement, parsed)
        {
            named.statement = same.clone();
        }
    }

    /// The statements with their names.
    pub fn all(&self) -> impl Iterator<Item = (&[u8], &Named)> {
        let all = self.by_name.iter().flat_map(|all| all.iter());
        all.map(|(name, named)| (&**name, named))
    }

    /// The statements without their names.
    pub fn statements(&self) -> impl Iterator<Item = &Arc<Statement>> {
        let all = self.by_name.iter().flat_map(|all| all.values());
        all.map(|named| &named.statement)
    }

    /// The client's name for a statement, or one of several. The name is looked for among the first
    /// thousand statements: a client with more must not make every error a long search.
    pub fn name_of(&self, id: u64) -> Option<&[u8]> {
        let mut few = self.by_name.as_ref()?.iter().take(LOOKED_AT);
        let (name, _) = few.find(|(_, named)| named.statement.id == id)?;
        Some(name)
    }

    fn len(&self) -> usize {
        self.by_name.as_ref().map_or(0, |all| all.len())
    }

    /// The memory that the statements take, in bytes.
    pub fn bytes(&self) -> u64 {
        u64::from(self.bytes)
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Statements;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn statement(length: usize) -> Named {
        Named {
            statement: Statements::default().parse(&vec![b'x'; length], None),
            since: 0,
        }
    }

    #[test]
    fn what_is_given_up_counts_until_that_is_answered() {
        let mut names = Names::default();
        let (half, body) = (statement((MOST_BYTES as usize) / 2 - AROUND - 1), [b'x'; 1]);
        names.insert(b"a"[..].into(), half.clone());
        assert!(names.has_room(b"b", &half.statement.body));
        names.insert(b"b"[..].into(), half.clone());
        assert!(!names.has_room(b"c", &body));
        names.remove(b"a");
        assert!(!names.has_room(b"c", &body));
        names.settle();
        assert!(names.has_room(b"c", &half.statement.body));
        names.clear();
        assert!(names.has_room(b"c", &half.statement.body) && names.get(b"b").is_none());
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let (mut names, one) = (Names::default(), statement(1));
        for n in 0..MOST {
            assert!(names.has_room(b"name", &one.statement.body), "{n}");
            names.insert(n.to_string().as_bytes().into(), one.clone());
        }
        assert!(!names.has_room(b"name", &one.statement.body));
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_what_is_there(steps in vec((0..6u8, 0..40usize, any::<bool>()), 0..60)) {
            let mut names = Names::default();
            for (name, length, add) in steps {
                let name = [name];
                if add {
                    names.insert(name[..].into(), statement(length));
                } else {
                    names.remove(&name);
                }
                let all = names.by_name.iter().flat_map(|all| all.iter()).map(|(n, s)| weight(n, &s.statement.body));
                prop_assert_eq!(names.bytes, all.sum::<u32>());
            }
        }
    }
}
