//! The public keys of an issuer (JWK set, RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Keys in one set at most: real ones have two or three.
const MOST: usize = 100;

/// Why a document gives no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("it is no set of keys (a JSON object with \"keys\")")]
    Malformed,
    #[error("it has more than {MOST} keys")]
    TooMany,
    #[error("none of its keys can verify a signature by RSA, ECDSA or EdDSA")]
    NoneUsable,
}

/// A key, and the algorithms that it may be used with. They come from the key
/// and never from the token: a token that chose its own algorithm could have
/// the public key taken for an HMAC secret.
pub struct Key {
    id: Option<Box<str>>,
    pub algorithms: Vec<Algorithm>,
    pub key: DecodingKey,
}

pub struct KeySet(Vec<Key>);

impl KeySet {
    /// Keys that are of no use here (for encryption, symmetric, of an unknown
    /// kind) are passed over, as RFC 7517 section 5 says.
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

    /// The keys that a token with this `kid` may be signed with. A token
    /// without one may be by any of them.
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
        let of_kind = of_kind(&jwk.algorithm)?;
        let algorithms = match jwk.common.key_algorithm {
            None => of_kind.to_vec(),
            Some(said) => vec![allowed(said, of_kind)?],
        };
        Some(Self {
            id: jwk.common.key_id.as_deref().map(Into::into),
            algorithms,
            key: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

fn of_kind(parameters: &AlgorithmParameters) -> Option<&'static [Algorithm]> {
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

fn allowed(said: KeyAlgorithm, of_kind: &[Algorithm]) -> Option<Algorithm> {
    let said = Algorithm::try_from(said).ok()?;
    of_kind.contains(&said).then_some(said)
}
