//! An issuer of tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

pub const ISSUER: &str = "https://kubernetes.default.svc";

/// Signs as an issuer does; its public key is in a file.
pub struct Issuer {
    key: EncodingKey,
    keys: tempfile::NamedTempFile,
}

impl Issuer {
    pub fn new() -> Self {
        let pair = rcgen::KeyPair::generate().expect("a key");
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a public key");
        let keys = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(keys.path(), json!({ "keys": [jwk] }).to_string()).expect("written");
        Self { key, keys }
    }

    pub fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut claims = json!({
            "iss": ISSUER, "aud": ["pgvalet"], "sub": "system:serviceaccount:shop:api",
            "exp": now.expect("after 1970").as_secs() + 600, "jti": "token-1",
        });
        change(&mut claims);
        encode(&Header::new(Algorithm::ES256), &claims, &self.key).expect("a token")
    }

    pub fn good(&self) -> String {
        self.token(|_| ())
    }

    pub fn rule(&self, more: &str) -> String {
        let keys = self.keys.path().display();
        format!(
            "name = \"shop\"\ndatabases = [\"app\"]\n\
             token = {{ issuer = \"{ISSUER}\", audience = \"pgvalet\", jwks_file = \"{keys}\", \
             subject = \"system:serviceaccount:shop:*\"{more} }}"
        )
    }
}
