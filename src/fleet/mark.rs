//! Process ids of clients that speak protocol 3.0, whose keys have no room for an address.
//!
//! Twelve of the 31 bits of such a process id are a mark of the replica: a keyed hash of its
//! address. They are hidden under a mask that the other bits and the key give, so that the ids of
//! one replica have nothing in common for anybody without the fleet's key, and that nobody else
//! can make an id that leads anywhere. The mark says which of the known replicas it may be; two
//! may have the same, and then both are asked.

use std::net::SocketAddr;

use aws_lc_rs::hmac::{self, HMAC_SHA256};

use super::key::{FleetKey, KeyError, Purpose};
use super::sealed::to_bytes;

/// The bits of a mark.
const BITS: u32 = 12;
const MARK: u32 = (1 << BITS) - 1;
/// Process ids are positive, because clients print them as signed numbers.
const POSITIVE: u32 = 0x7fff_ffff;

pub(super) struct Marks(hmac::Key);

impl Marks {
    pub fn new(key: &FleetKey) -> Result<Self, KeyError> {
        let key = key.derive(Purpose::Marks, b"")?;
        Ok(Self(hmac::Key::new(HMAC_SHA256, &key[..])))
    }

    fn hash(&self, about: &[u8], data: &[u8]) -> u32 {
        let tag = hmac::sign(&self.0, &[about, data].concat());
        let hash = tag.as_ref().first_chunk().copied().unwrap_or_default();
        u32::from_be_bytes(hash) & MARK
    }

    /// The mark of a replica.
    fn of(&self, address: SocketAddr) -> u32 {
        self.hash(b"replica", &to_bytes(address))
    }

    fn mask(&self, rest: u32, key: [u8; 4]) -> u32 {
        self.hash(b"mask", &[&rest.to_be_bytes()[..], &key].concat())
    }

    /// A process id for a session at a replica. All randomness of it is in `random`.
    pub fn pid(&self, random: u32, key: [u8; 4], at: SocketAddr) -> u32 {
        let rest = random & POSITIVE & !MARK;
        rest | (self.of(at) ^ self.mask(rest, key))
    }

    /// Whether the session with this process id and key may be at a replica.
    pub fn may_be_at(&self, pid: u32, key: [u8; 4], at: SocketAddr) -> bool {
        pid & !POSITIVE == 0 && pid & MARK == self.of(at) ^ self.mask(pid & !MARK, key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marks(byte: u8) -> Marks {
        Marks::new(&FleetKey::of(byte)).expect("a key")
    }

    fn replica(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 6434))
    }

    proptest! {
        #[test]
        fn an_id_leads_to_its_replica(random in any::<u32>(), key in any::<[u8; 4]>(), n in any::<u8>()) {
            let pid = marks(1).pid(random, key, replica(n));
            prop_assert!(pid.cast_signed() >= 0);
            prop_assert_eq!(pid & !MARK, random & POSITIVE & !MARK, "the rest is random");
            prop_assert!(marks(1).may_be_at(pid, key, replica(n)));
        }
    }

    /// How many of `of` process ids lead to a replica that they are not of.
    fn strays(of: u32, leads: impl Fn(u32, [u8; 4]) -> bool) -> usize {
        let ids = (0..of).map(|n| (n.wrapping_mul(0x9e37_79b9), n.to_be_bytes()));
        ids.filter(|(pid, key)| leads(*pid & POSITIVE, *key))
            .count()
    }

    #[test]
    fn a_stranger_s_id_leads_to_a_replica_by_chance_alone() {
        let ours = marks(1);
        // One of 4,096 does by chance: five of these, give or take.
        let guessed = strays(20_000, |pid, key| ours.may_be_at(pid, key, replica(1)));
        let other_fleet = strays(20_000, |random, key| {
            ours.may_be_at(marks(2).pid(random, key, replica(1)), key, replica(1))
        });
        let other_replica = strays(20_000, |random, key| {
            ours.may_be_at(ours.pid(random, key, replica(2)), key, replica(1))
        });
        let other_key = strays(20_000, |random, key| {
            ours.may_be_at(
                ours.pid(random, key, replica(1)),
                [1, 2, 3, key[3]],
                replica(1),
            )
        });
        for count in [guessed, other_fleet, other_key] {
            assert!(count < 40, "{count} of 20,000");
        }
        // Either all or none: a mark is one of the replica.
        assert!(other_replica == 0, "these two have marks of their own");
        assert!(!ours.may_be_at(
            ours.pid(1, [0; 4], replica(1)) | !POSITIVE,
            [0; 4],
            replica(1)
        ));
    }

    #[test]
    fn the_ids_of_one_replica_have_no_bit_in_common() {
        let ours = marks(1);
        let ids: Vec<u32> = (0..1000u32)
            .map(|n| ours.pid(n.wrapping_mul(0x9e37_79b9), n.to_be_bytes(), replica(1)))
            .collect();
        for bit in 0..31 {
            let set = ids.iter().filter(|id| *id & (1 << bit) != 0).count();
            assert!(
                (300..700).contains(&set),
                "bit {bit} is set in {set} of 1,000"
            );
        }
    }
}
