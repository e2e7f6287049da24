//! Keys in memory.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::base::hex;

pub const KEY_LEN: usize = 32;

/// An AES-256 key in memory: wiped when dropped, impossible to print.
pub struct Key(Zeroizing<[u8; KEY_LEN]>);

impl Key {
    /// A new random key; `None` if the system gives no random bytes.
    pub fn generate() -> Option<Self> {
        let mut key = Self(Zeroizing::new([0; KEY_LEN]));
        SystemRandom::new().fill(&mut key.0[..]).ok()?;
        Some(key)
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0[..]
    }

    /// A short name that tells keys apart and reveals nothing: 256 random bits
    /// cannot be guessed from a hash of them.
    pub fn fingerprint(&self) -> String {
        let mut text = Zeroizing::new(b"pgvalet key fingerprint\0".to_vec());
        text.reserve_exact(KEY_LEN);
        text.extend_from_slice(self.bytes());
        let hash = digest(&SHA256, &text);
        hex::encode(&hash.as_ref()[..4])
    }
}
