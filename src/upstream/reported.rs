//! What a server says about a session by ParameterStatus.

use std::collections::BTreeMap;
use std::collections::btree_map::Iter;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// The values of ParameterStatus, as last reported.
///
/// Two sets of values are compared by their digests, so that a lease can tell
/// without looking at each value whether its client has been told of all.
#[derive(Debug, Default, Clone)]
pub struct Reported {
    values: BTreeMap<Box<str>, Box<str>>,
    digest: u64,
}

/// The key is random: no client can choose values whose digests collide.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

fn digest(name: &str, value: &str) -> u64 {
    HASHER.hash_one((name, value))
}

impl Reported {
    /// The value that was reported under this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| &**value)
    }

    /// Notes a value; returns the one before it.
    pub fn set(&mut self, name: &str, value: &str) -> Option<Box<str>> {
        let before = match self.values.get_mut(name) {
            Some(known) if **known == *value => return Some(value.into()),
            Some(known) => Some(std::mem::replace(known, value.into())),
            None => self.values.insert(name.into(), value.into()),
        };
        if let Some(before) = &before {
            self.digest ^= digest(name, before);
        }
        self.digest ^= digest(name, value);
        before
    }

    /// A digest, which is equal for equal values and practically for no others.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    pub fn iter(&self) -> Iter<'_, Box<str>, Box<str>> {
        self.values.iter()
    }
}

impl<'a> IntoIterator for &'a Reported {
    type Item = (&'a Box<str>, &'a Box<str>);
    type IntoIter = Iter<'a, Box<str>, Box<str>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Reported {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(values: T) -> Self {
        let mut reported = Self::default();
        for (name, value) in values {
            reported.set(name, value);
        }
        reported
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_values_however_they_came() {
        let mut a = Reported::from_iter([("TimeZone", "UTC"), ("DateStyle", "ISO, MDY")]);
        let b = Reported::from_iter([("DateStyle", "ISO, MDY"), ("TimeZone", "UTC")]);
        assert_eq!(a.digest(), b.digest());
        assert_eq!(a.set("TimeZone", "Asia/Tokyo").as_deref(), Some("UTC"));
        assert_ne!(a.digest(), b.digest());
        a.set("TimeZone", "UTC");
        a.set("TimeZone", "UTC");
        assert_eq!(a.digest(), b.digest());
    }
}
