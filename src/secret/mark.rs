//! Version ids for stores that have none: a keyed hash of the content.

use aws_lc_rs::hmac;

use super::{SecretId, VersionId};
use crate::base::hex;

/// Makes the same id of the same content, and an id from which nobody without the
/// key can tell or guess the content: a plain hash of a password would let anybody
/// who reads the audit log try passwords until one fits.
pub struct Marker(hmac::Key);

impl Marker {
    /// `key`: 32 random bytes. Ids of different keys have nothing in common.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The id of one version of a secret, in the form of a UUID.
    pub fn version(&self, secret: &SecretId, content: &str) -> VersionId {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"pgvalet version\0");
        context.update(secret.within().as_bytes());
        context.update(b"\0");
        context.update(content.as_bytes());
        let tag = context.sign();
        let digits = hex::encode(tag.as_ref().get(..16).unwrap_or_default());
        let part = |range| digits.get(range).unwrap_or_default();
        let parts = [
            part(0..8),
            part(8..12),
            part(12..16),
            part(16..20),
            part(20..32),
        ];
        VersionId::new(parts.join("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_has_the_same_id_and_nothing_else_has() {
        let (a, b) = (SecretId::new("a"), SecretId::new("b"));
        let (one, other) = (Marker::new(&[1; 32]), Marker::new(&[2; 32]));
        let id = one.version(&a, "value");
        assert_eq!(id, Marker::new(&[1; 32]).version(&a, "value"));
        assert_eq!(id.as_str().len(), 36);
        assert!(uuid::Uuid::parse_str(id.as_str()).is_ok(), "{id}");
        for another in [
            one.version(&a, "value "),
            one.version(&b, "value"),
            other.version(&a, "value"),
        ] {
            assert_ne!(id, another);
        }
    }
}
