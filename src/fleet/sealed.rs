//! Cancel keys of protocol 3.2 in which the address of the session's replica is sealed.
//!
//! A key is a random nonce and what AES-256-GCM-SIV makes of the address, bound to the process
//! id. To whoever has not the fleet's key, all of it is random, so that it is as hard to guess as
//! a random key; and nobody else can make one that leads a replica to another address. SIV
//! because the nonces of a fleet that lives for years are random: a nonce that comes twice
//! reveals no more there than that an address is the same.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use super::key::{FleetKey, KeyError, Purpose};

/// An address is always written as IPv6, so that the length says nothing about it.
const ADDRESS: usize = 18;
const TAG: usize = 16;
/// The bytes of a sealed key.
pub const SEALED: usize = NONCE_LEN + ADDRESS + TAG;

/// A cancel key that says where its session is, to those who have the fleet's key.
pub type SealedKey = [u8; SEALED];

/// Seals and opens addresses.
pub(super) struct Seal(RandomizedNonceKey);

impl Seal {
    pub fn new(key: &FleetKey) -> Result<Self, KeyError> {
        let key = key.derive(Purpose::CancelKeys, b"")?;
        let cipher = RandomizedNonceKey::new(&AES_256_GCM_SIV, &key[..]);
        Ok(Self(cipher.map_err(|_| KeyError::NoRandomness)?))
    }

    /// A new key for the session with this process id at this replica; `None` if the system
    /// gives no random numbers.
    pub fn seal(&self, pid: u32, at: SocketAddr) -> Option<SealedKey> {
        let mut address = to_bytes(at);
        let aad = Aad::from(pid.to_be_bytes());
        let (nonce, tag) = self.0.seal_in_place_separate_tag(aad, &mut address).ok()?;
        let sealed = [&nonce.as_ref()[..], &address, tag.as_ref()].concat();
        sealed.try_into().ok()
    }

    /// The address in a key of the fleet; `None` for any other key, or process id.
    pub fn open(&self, pid: u32, key: &[u8]) -> Option<SocketAddr> {
        let key: SealedKey = key.try_into().ok()?;
        let (nonce, sealed) = key.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed: [u8; ADDRESS + TAG] = sealed.try_into().ok()?;
        let aad = Aad::from(pid.to_be_bytes());
        let address = self.0.open_in_place(nonce, aad, &mut sealed).ok()?;
        from_bytes(address)
    }
}

pub(super) fn to_bytes(address: SocketAddr) -> [u8; ADDRESS] {
    let ip = match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    let mut bytes = [0; ADDRESS];
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&address.port().to_be_bytes());
    bytes
}

fn from_bytes(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_first_chunk::<16>()?;
    let port = u16::from_be_bytes(port.try_into().ok()?);
    Some(SocketAddr::new(
        IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical(),
        port,
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn seal(byte: u8) -> Seal {
        Seal::new(&FleetKey::of(byte)).expect("a cipher")
    }

    #[test]
    fn two_keys_of_one_session_differ_in_every_part() {
        let (seal, at) = (seal(1), "10.0.0.1:6434".parse().expect("an address"));
        let keys: Vec<SealedKey> = (0..1000).filter_map(|_| seal.seal(7, at)).collect();
        for part in [
            0..NONCE_LEN,
            NONCE_LEN..NONCE_LEN + ADDRESS,
            SEALED - TAG..SEALED,
        ] {
            let parts: HashSet<&[u8]> = keys.iter().map(|key| &key[part.clone()]).collect();
            assert_eq!(parts.len(), 1000, "{part:?}");
        }
    }

    fn any_address() -> impl Strategy<Value = SocketAddr> {
        (any::<IpAddr>(), any::<u16>())
            .prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
    }

    proptest! {
        #[test]
        fn a_key_leads_to_its_replica_and_nothing_else_does(
            pid in any::<u32>(),
            at in any_address(),
            changed in 0..SEALED,
            bit in 0..8u32,
            short in 0..SEALED,
            other_pid in any::<u32>(),
        ) {
            let ours = seal(1);
            let key = ours.seal(pid, at).expect("sealed");
            prop_assert_eq!(ours.open(pid, &key), Some(at));
            // Altered, cut, longer, of another session, of another fleet.
            let mut altered = key;
            altered[changed] ^= 1 << bit;
            prop_assert_eq!(ours.open(pid, &altered), None);
            prop_assert_eq!(ours.open(pid, &key[..short]), None);
            prop_assert_eq!(ours.open(pid, &[&key[..], &[0]].concat()), None);
            prop_assert_eq!(ours.open(other_pid, &key), (other_pid == pid).then_some(at));
            prop_assert_eq!(seal(2).open(pid, &key), None);
            // The address is not to be seen in it.
            prop_assert!(!key.windows(ADDRESS).any(|w| w == to_bytes(at)));
        }

        #[test]
        fn any_bytes_are_refused(pid in any::<u32>(), bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(seal(1).open(pid, &bytes), None);
        }
    }
}
