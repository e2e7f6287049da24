//! What a cancel request has to know: the process id and the key of a session.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::fleet::{Fleet, SealedKey};
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
    /// A long key that says to other replicas where the session is.
    Sealed(Box<SealedKey>),
}

/// Random numbers for the key and the process id of one session.
const RANDOM: usize = 36;

impl CancelKey {
    /// Makes a process id and a key that nobody can guess, and that lead to this replica if it is
    /// one of a fleet. `None`: the operating system has no random numbers.
    pub(super) fn make(version: Version, fleet: Option<&Fleet>) -> Option<(FrontendPid, Self)> {
        let mut random = [0; RANDOM];
        aws_lc_rs::rand::fill(&mut random).ok()?;
        Self::of(version, fleet, random)
    }

    fn of(
        version: Version,
        fleet: Option<&Fleet>,
        random: [u8; RANDOM],
    ) -> Option<(FrontendPid, Self)> {
        let [a, b, c, d, long @ ..] = random;
        let number = u32::from_be_bytes([a, b, c, d]);
        // Positive, because clients print it as a signed number.
        let pid = number & 0x7fff_ffff;
        let (pid, key) = match (version >= Version::V3_2, fleet) {
            (true, None) => (pid, Self::Long(Box::new(long))),
            (true, Some(fleet)) => (pid, Self::Sealed(Box::new(fleet.long_key(pid)?))),
            (false, fleet) => {
                let [a, b, c, d, ..] = long;
                let short = [a, b, c, d];
                let pid = fleet.map_or(pid, |fleet| fleet.pid(number, short));
                (pid, Self::Short(short))
            }
        };
        Some((FrontendPid(pid), key))
    }

    /// The key that a client has got from another process.
    pub(in crate::session) fn inherit(bytes: &[u8]) -> Option<Self> {
        if let Ok(short) = bytes.try_into() {
            return Some(Self::Short(short));
        }
        if let Ok(long) = bytes.try_into() {
            return Some(Self::Long(Box::new(long)));
        }
        let sealed = bytes.try_into().ok()?;
        Some(Self::Sealed(Box::new(sealed)))
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Short(key) => key,
            Self::Long(key) => &key[..],
            Self::Sealed(key) => &key[..],
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
        let random: [u8; 36] = std::array::from_fn(|n| n as u8);
        for (version, length) in [(Version::V3_0, 4), (Version::V3_2, 32)] {
            let (_, key) = CancelKey::of(version, None, random).expect("a key");
            let random = &random[4..];
            assert_eq!(key.bytes(), &random[..length]);
            assert!(key.is(&random[..length]));
            for wrong in [&random[..length - 1], &[0; 4], &[0; 32], &[]] {
                assert!(!key.is(wrong), "{version}: {wrong:?}");
            }
            let longer = [&random[..length], &[0]].concat();
            assert!(!key.is(&longer));
            let mut changed = random.to_owned();
            changed[length - 1] ^= 1;
            assert!(!key.is(&changed[..length]));
        }
    }
}
