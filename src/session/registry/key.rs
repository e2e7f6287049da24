//! What a cancel request has to know: the process id and the key of a session.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::wire::Version;

/// The process id that pgvalet shows to a client, with which the client may ask for a
/// cancel; not to be mixed up with the pid of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrontendPid(pub u32);

/// A key of the length that the client's protocol version knows. The long key is boxed,
/// because most clients have the short one and an idle session is to be small.
pub enum CancelKey {
    Short([u8; 4]),
    Long(Box<[u8; 32]>),
}

impl CancelKey {
    /// Makes a key of random bytes.
    pub(super) fn new(version: Version, random: [u8; 32]) -> Self {
        if version >= Version::V3_2 {
            return Self::Long(Box::new(random));
        }
        let [a, b, c, d, ..] = random;
        Self::Short([a, b, c, d])
    }

    /// The key that a client has got from another process.
    pub(in crate::session) fn inherit(bytes: &[u8]) -> Option<Self> {
        if let Ok(short) = bytes.try_into() {
            return Some(Self::Short(short));
        }
        let long = bytes.try_into().ok()?;
        Some(Self::Long(Box::new(long)))
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(key) => key,
            Self::Long(key) => &key[..],
        }
    }

    /// Compares in constant time: the time taken tells nothing but whether the length is
    /// right.
    pub(super) fn is(&self, presented: &[u8]) -> bool {
        verify_slices_are_equal(self.bytes(), presented).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_is_the_key() {
        let random: [u8; 32] = std::array::from_fn(|n| n as u8);
        for (version, length) in [(Version::V3_0, 4), (Version::V3_2, 32)] {
            let key = CancelKey::new(version, random);
            assert_eq!(key.bytes(), &random[..length]);
            assert!(key.is(&random[..length]));
            for wrong in [&random[..length - 1], &[0; 4], &[0; 32], &[]] {
                assert!(!key.is(wrong), "{version}: {wrong:?}");
            }
            let longer = [&random[..length], &[0]].concat();
            assert!(!key.is(&longer));
            let mut changed = random;
            changed[length - 1] ^= 1;
            assert!(!key.is(&changed[..length]));
        }
    }
}
