//! Signed notes of C2SP: a text, and lines with signatures of it by Ed25519 keys.
//!
//! ```text
//! text
//!
//! — NAME base64(KEY ID ‖ SIGNATURE)
//! ```
//!
//! The key id is the beginning of a hash of the key with its name, so that one key has
//! another id under another name.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::prelude::{BASE64_STANDARD, Engine};
use zeroize::Zeroizing;

use crate::base::hex;

/// The number of Ed25519 in the specification.
const ED25519_SIGNATURE: u8 = 1;
const KEY_ID: usize = 4;
const KEY: usize = 32;

/// Signs notes under a name.
pub(super) struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
    seed: Zeroizing<[u8; KEY]>,
}

/// The public half of a key, with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    pub(super) name: String,
    key: [u8; KEY],
}

impl Signer {
    /// A new key. `None`: the system has no random numbers.
    pub(super) fn generate(name: &str) -> Option<Self> {
        let mut seed = Zeroizing::new([0; KEY]);
        aws_lc_rs::rand::fill(&mut seed[..]).ok()?;
        Self::new(name, seed)
    }

    fn new(name: &str, seed: Zeroizing<[u8; KEY]>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed[..]).ok()?;
        let public = PublicKey {
            name: name.to_owned(),
            key: pair.public_key().as_ref().try_into().ok()?,
        };
        Some(Self { pair, public, seed })
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let (name, id, key) = fields(text.strip_prefix("PRIVATE+KEY+")?)?;
        let signer = Self::new(name, key)?;
        (hex::encode(&signer.public.id()) == id).then_some(signer)
    }

    /// The form in which the tools of Go's `sumdb/note` keep private keys.
    pub(super) fn encode(&self) -> Zeroizing<String> {
        let key = [&[ED25519_SIGNATURE], &self.seed[..]].concat();
        let key = Zeroizing::new(BASE64_STANDARD.encode(Zeroizing::new(key)));
        let id = hex::encode(&self.public.id());
        Zeroizing::new(format!("PRIVATE+KEY+{}+{id}+{}", self.public.name, *key))
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature of a text in base64, as it ends a line of a note.
    pub(super) fn sign(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        BASE64_STANDARD.encode([&self.public.id()[..], signature.as_ref()].concat())
    }

    /// The note for a text, which ends with a line end.
    pub(super) fn note(&self, text: &str) -> String {
        format!("{text}\n— {} {}\n", self.public.name, self.sign(text))
    }
}

impl PublicKey {
    /// Reads a key as [`Display`](fmt::Display) writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, id, key) = fields(text.trim())?;
        let key = Self {
            name: name.to_owned(),
            key: *key,
        };
        (hex::encode(&key.id()) == id).then_some(key)
    }

    fn id(&self) -> [u8; KEY_ID] {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(self.name.as_bytes());
        context.update(&[b'\n', ED25519_SIGNATURE]);
        context.update(&self.key);
        let mut id = [0; KEY_ID];
        id.copy_from_slice(&context.finish().as_ref()[..KEY_ID]);
        id
    }

    /// Whether `signature` is what [`Signer::sign`] made for the text.
    pub(super) fn has_signed(&self, text: &str, signature: &str) -> bool {
        let Ok(bytes) = BASE64_STANDARD.decode(signature) else {
            return false;
        };
        bytes
            .strip_prefix(&self.id())
            .is_some_and(|signature| self.verifies(text, signature))
    }

    fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.key);
        key.verify(text.as_bytes(), signature).is_ok()
    }

    /// The text of a note that this key has signed. Others may have signed it too.
    pub(super) fn open<'a>(&self, note: &'a str) -> Option<&'a str> {
        let end = note.rfind("\n\n")?;
        let text = &note[..=end];
        let signed = note[end + 2..].lines().any(|line| {
            line.strip_prefix("— ")
                .and_then(|rest| rest.split_once(' '))
                .is_some_and(|(name, signature)| {
                    name == self.name && self.has_signed(text, signature)
                })
        });
        signed.then_some(text)
    }
}

/// The form in which C2SP writes public keys.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64_STANDARD.encode([&[ED25519_SIGNATURE], &self.key[..]].concat());
        write!(f, "{}+{}+{key}", self.name, hex::encode(&self.id()))
    }
}

/// Name, key id and key of a text `NAME+ID+base64(1 ‖ KEY)`.
fn fields(text: &str) -> Option<(&str, &str, Zeroizing<[u8; KEY]>)> {
    // Base64 may have a plus, a name and an id may not.
    let mut parts = text.splitn(3, '+');
    let (name, id, key) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = Zeroizing::new(BASE64_STANDARD.decode(key).ok()?);
    let key = bytes.strip_prefix(&[ED25519_SIGNATURE])?.try_into().ok()?;
    Some((name, id, Zeroizing::new(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the documentation of Go's `golang.org/x/mod/sumdb/note`.
    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_SECRET: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn keys_and_notes_are_those_of_others() {
        let key = PublicKey::parse(GO_KEY).expect("a key");
        assert_eq!(key.to_string(), GO_KEY);
        let text = key.open(GO_NOTE).expect("signed");
        assert!(text.ends_with("problem is.\n"));
        let signer = Signer::decode(GO_SECRET).expect("a key");
        assert_eq!(*signer.public(), key);
        assert_eq!(*signer.encode(), GO_SECRET);
        assert_eq!(signer.note(text), GO_NOTE);
    }

    #[test]
    fn nothing_of_a_note_can_be_changed() {
        let signer = Signer::generate("log.example/1").expect("random");
        let key = signer.public().clone();
        assert_eq!(PublicKey::parse(&key.to_string()), Some(key.clone()));
        let note = signer.note("a\nb\n");
        assert_eq!(key.open(&note), Some("a\nb\n"));
        let other = Signer::generate("log.example/1").expect("random");
        assert_eq!(other.public().open(&note), None);
        let text = note.find('—').expect("a signature");
        for i in 0..text {
            let mut changed = note.clone().into_bytes();
            changed[i] ^= 1;
            let changed = String::from_utf8_lossy(&changed).into_owned();
            assert_eq!(key.open(&changed), None, "byte {i}");
        }
    }
}
