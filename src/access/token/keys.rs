//! The public keys of an issuer (JWK set, RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// The most keys of a set. Real sets have two or three.
const MOST: usize = 100;

/// Why a document holds no keys that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("this is not a set of keys (a JSON object with \"keys\")")]
    Malformed,
    #[error("there are more than {MOST} keys")]
    TooMany,
    #[error("no key can verify signatures by RSA, ECDSA or EdDSA")]
    NoneUsable,
}

/// A key, and the algorithms that it may be used with. The algorithms come from the
/// key and never from the token: a token that chose its own could have the public key
/// taken for an HMAC secret.
pub struct Key {
    id: Option<Box<str>>,
    pub algorithms: Vec<Algorithm>,
    pub key: DecodingKey,
}

/// The keys of an issuer.
pub struct KeySet(Vec<Key>);

impl KeySet {
    /// Reads a JWK set. Keys that cannot be used here (for encryption, symmetric, of an
    /// unknown kind) are skipped, as RFC 7517 section 5 says.
    ///
    /// # Errors
    /// [`KeysError`]
    pub fn parse(json: &[u8]) -> Result<Self, KeysError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_slice(json).map_err(|_| KeysError::Malformed)?;
        if document.keys.len() > MOST {
            return Err(KeysError::TooMany);
        }
        let keys: Vec<Key> = document
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value(key).ok())
            .filter_map(|jwk: Jwk| Key::of(&jwk))
            .collect();
        if keys.is_empty() {
            return Err(KeysError::NoneUsable);
        }
        Ok(Self(keys))
    }

    /// The keys that a token with this `kid` may be signed with. A token without a
    /// `kid` may be signed with any of them.
    pub fn with_id<'a>(&'a self, id: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        self.0
            .iter()
            .filter(move |key| id.is_none() || key.id.as_deref() == id)
    }
}

impl Key {
    fn of(jwk: &Jwk) -> Option<Self> {
        if !matches!(
            jwk.common.public_key_use,
            None | Some(PublicKeyUse::Signature)
        ) {
            return None;
        }
        let possible = algorithms_of(&jwk.algorithm)?;
        let algorithms = match jwk.common.key_algorithm {
            None => possible.to_vec(),
            Some(named) => vec![named_algorithm(named, possible)?],
        };
        Some(Self {
            id: jwk.common.key_id.as_deref().map(Into::into),
            algorithms,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

/// The algorithms that keys of this kind can be used with.
fn algorithms_of(parameters: &AlgorithmParameters) -> Option<&'static [Algorithm]> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    match parameters {
        AlgorithmParameters::RSA(_) => Some(&[RS256, RS384, RS512, PS256, PS384, PS512]),
        AlgorithmParameters::EllipticCurve(ec) => match ec.curve {
            EllipticCurve::P256 => Some(&[ES256]),
            EllipticCurve::P384 => Some(&[ES384]),
            _ => None,
        },
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Some(&[EdDSA])
        }
        // A symmetric key in a public document is no secret.
        _ => None,
    }
}

/// The algorithm that the key names for itself, if keys of its kind can be used so.
fn named_algorithm(named: KeyAlgorithm, possible: &[Algorithm]) -> Option<Algorithm> {
    let named = Algorithm::try_from(named).ok()?;
    possible.contains(&named).then_some(named)
}
