//! SCRAM-SHA-256, the client's side.
//!
//! Sources: RFC 5802, RFC 7677, RFC 5929 (tls-server-end-point); PostgreSQL's
//! chapter "SASL Authentication". Written here, because the keys are cached
//! per version of a secret, the key derivation runs off the reactor, and a
//! hostile server's parameters are refused before anything is computed.

use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::OldServers;
use super::rds_iam::IamToken;
use crate::base::crew::Crew;
use crate::secret::Password;

pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// Above this a server is not careful but hostile (pgjdbc CVE-2026-42198);
/// Postgres' default is 4096.
pub const MAX_ITERATIONS: u32 = 100_000;
const MAX_SALT: usize = 1024;
const MAX_SERVER_NONCE: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramError {
    Malformed,
    Nonce,
    Iterations,
    /// Fewer iterations than are accepted.
    TooFew,
    Salt,
    /// The server does not know the password either.
    Signature,
    Refused,
    Random,
}

/// What a login needs of the password. As good as the password itself for
/// logging in with this salt, hence wiped.
struct Keys {
    client: Zeroizing<[u8; 32]>,
    server: Zeroizing<[u8; 32]>,
}

/// The keys of one version's password for the salt last seen. A server keeps
/// its salt until the password changes, so every login after the first skips
/// the key derivation, milliseconds of CPU.
#[derive(Default)]
pub struct KeyCache {
    derived: Mutex<Option<Derived>>,
    /// The token of RDS IAM authentication that was made last.
    pub(super) iam: IamToken,
    pub(super) old_servers: Arc<OldServers>,
}

struct Derived {
    salt: Vec<u8>,
    iterations: u32,
    keys: Arc<Keys>,
}

impl KeyCache {
    /// Of a version whose servers others know already.
    pub fn knowing(old_servers: Arc<OldServers>) -> Self {
        Self {
            old_servers,
            ..Self::default()
        }
    }

    fn get(&self, salt: &[u8], iterations: u32) -> Option<Arc<Keys>> {
        let cache = self.derived.lock();
        let hit = cache
            .as_ref()
            .filter(|d| d.salt == salt && d.iterations == iterations);
        hit.map(|d| d.keys.clone())
    }

    fn put(&self, salt: Vec<u8>, iterations: u32, keys: Arc<Keys>) {
        *self.derived.lock() = Some(Derived {
            salt,
            iterations,
            keys,
        });
    }
}

/// How the exchange is bound to the TLS channel under it.
pub enum ChannelBinding {
    /// No TLS, or no usable certificate hash.
    None,
    /// There is TLS, but the server did not offer -PLUS: saying so lets it
    /// notice that somebody in the middle removed the offer.
    NotOffered,
    /// Hash of the server's certificate.
    ServerEndPoint(Vec<u8>),
}

impl ChannelBinding {
    fn header(&self) -> &'static [u8] {
        match self {
            Self::None => b"n,,",
            Self::NotOffered => b"y,,",
            Self::ServerEndPoint(_) => b"p=tls-server-end-point,,",
        }
    }

    fn encoded(&self) -> String {
        let mut bytes = self.header().to_vec();
        if let Self::ServerEndPoint(hash) = self {
            bytes.extend(hash);
        }
        BASE64_STANDARD.encode(bytes)
    }
}

/// The server's first message.
#[derive(Debug, PartialEq, Eq)]
pub struct ServerFirst<'a> {
    pub text: &'a str,
    /// Begins with the client's.
    pub nonce: &'a str,
    pub salt: Vec<u8>,
    pub iterations: u32,
}

impl<'a> ServerFirst<'a> {
    /// Of a server that may be hostile: nothing is computed yet.
    pub fn read(bytes: &'a [u8], own_nonce: &str) -> Result<Self, ScramError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ScramError::Malformed)?;
        let mut parts = text.split(',');
        let mut field = |prefix| {
            parts
                .next()
                .and_then(|p| p.strip_prefix(prefix))
                .ok_or(ScramError::Malformed)
        };
        let nonce = field("r=")?;
        if !nonce.starts_with(own_nonce)
            || nonce.len() == own_nonce.len()
            || nonce.len() > MAX_SERVER_NONCE
        {
            return Err(ScramError::Nonce);
        }
        let salt = field("s=")?;
        if salt.len() > MAX_SALT {
            return Err(ScramError::Salt);
        }
        let salt = BASE64_STANDARD.decode(salt).map_err(|_| ScramError::Salt)?;
        let iterations: u32 = field("i=")?.parse().map_err(|_| ScramError::Iterations)?;
        if !(1..=MAX_ITERATIONS).contains(&iterations) {
            return Err(ScramError::Iterations);
        }
        Ok(Self {
            text,
            nonce,
            salt,
            iterations,
        })
    }
}

/// The signature in the server's last message.
pub fn server_signature(server_final: &[u8]) -> Result<Vec<u8>, ScramError> {
    let text = std::str::from_utf8(server_final).map_err(|_| ScramError::Malformed)?;
    if text.starts_with("e=") {
        return Err(ScramError::Refused);
    }
    let signature = text.split(',').next().and_then(|p| p.strip_prefix("v="));
    BASE64_STANDARD
        .decode(signature.ok_or(ScramError::Malformed)?)
        .map_err(|_| ScramError::Malformed)
}

/// First state: the client's first message has been made.
pub struct ClientFirst {
    binding: ChannelBinding,
    nonce: String,
}

/// Second state: the server's signature is awaited.
pub struct ClientFinal {
    pub message: Vec<u8>,
    server_signature: [u8; 32],
}

impl ClientFirst {
    pub fn new(binding: ChannelBinding) -> Result<Self, ScramError> {
        let mut bytes = [0; 18];
        rand::fill(&mut bytes).map_err(|_| ScramError::Random)?;
        Ok(Self {
            binding,
            nonce: BASE64_STANDARD.encode(bytes),
        })
    }

    /// The user name is empty: Postgres takes it from the start-up packet.
    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    pub fn message(&self) -> Vec<u8> {
        let mut message = self.binding.header().to_vec();
        message.extend(self.bare().as_bytes());
        message
    }

    /// Answers the server's first message.
    pub async fn answer(
        self,
        server_first: &[u8],
        password: &Password,
        least: u32,
        cache: &KeyCache,
    ) -> Result<ClientFinal, ScramError> {
        let ServerFirst {
            text: server_first,
            nonce,
            salt,
            iterations,
        } = ServerFirst::read(server_first, &self.nonce)?;
        if iterations < least {
            return Err(ScramError::TooFew);
        }

        let keys = match cache.get(&salt, iterations) {
            Some(keys) => keys,
            None => {
                let keys = derive_off_reactor(password.clone(), salt.clone(), iterations).await?;
                cache.put(salt, iterations, keys.clone());
                keys
            }
        };
        let without_proof = format!("c={},r={nonce}", self.binding.encoded());
        let signed = format!("{},{server_first},{without_proof}", self.bare());
        let stored_key = digest::digest(&digest::SHA256, &keys.client[..]);
        let client_signature = hmac_sha256(stored_key.as_ref(), signed.as_bytes());
        let mut proof = *keys.client;
        for (byte, signature) in proof.iter_mut().zip(client_signature) {
            *byte ^= signature;
        }
        Ok(ClientFinal {
            message: format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)).into_bytes(),
            server_signature: hmac_sha256(&keys.server[..], signed.as_bytes()),
        })
    }
}

impl ClientFinal {
    /// Checks that the server knows the password too.
    pub fn verify(self, server_final: &[u8]) -> Result<(), ScramError> {
        let signature = server_signature(server_final)?;
        verify_slices_are_equal(&signature, &self.server_signature)
            .map_err(|_| ScramError::Signature)
    }
}

/// What a server keeps of a password, in the form in which `ALTER ROLE …
/// PASSWORD` takes it: a password sent as this never reaches the server, its
/// log or its statistics. Salt and form are those of Postgres' own
/// `scram_build_secret`.
pub async fn verifier(password: Password, iterations: u32) -> Result<String, ScramError> {
    let mut salt = vec![0; 16];
    rand::fill(&mut salt).map_err(|_| ScramError::Random)?;
    let encoded_salt = BASE64_STANDARD.encode(&salt);
    let keys = derive_off_reactor(password, salt, iterations).await?;
    let stored_key = digest::digest(&digest::SHA256, &keys.client[..]);
    Ok(format!(
        "{SCRAM_SHA_256}${iterations}:{encoded_salt}${}:{}",
        BASE64_STANDARD.encode(stored_key),
        BASE64_STANDARD.encode(&keys.server[..])
    ))
}

/// Milliseconds of a processor each: two at a time, so that a burst of logins leaves
/// some to those who move bytes.
static DERIVATION: Crew = Crew::new("scram", 2);

async fn derive_off_reactor(
    password: Password,
    salt: Vec<u8>,
    iterations: u32,
) -> Result<Arc<Keys>, ScramError> {
    DERIVATION
        .run(move || derive(password.reveal(), &salt, iterations))
        .await
        .map_err(|_| ScramError::Malformed)?
        .map(Into::into)
}

fn derive(password: &str, salt: &[u8], iterations: u32) -> Result<Keys, ScramError> {
    // A password that SASLprep refuses is used as it is, as Postgres does.
    let prepared: Zeroizing<String> = Zeroizing::new(
        stringprep::saslprep(password)
            .map_or_else(|_| password.to_owned(), std::borrow::Cow::into_owned),
    );
    let mut salted = Zeroizing::new([0u8; 32]);
    let iterations = NonZeroU32::new(iterations).ok_or(ScramError::Iterations)?;
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        salt,
        prepared.as_bytes(),
        &mut salted[..],
    );
    Ok(Keys {
        client: Zeroizing::new(hmac_sha256(&salted[..], b"Client Key")),
        server: Zeroizing::new(hmac_sha256(&salted[..], b"Server Key")),
    })
}

fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    let mut out = [0; 32];
    out.copy_from_slice(tag.as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(nonce: &str) -> ClientFirst {
        ClientFirst {
            binding: ChannelBinding::None,
            nonce: nonce.to_owned(),
        }
    }

    const SERVER_FIRST: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    /// RFC 7677, section 3, but for the user name, which Postgres leaves empty:
    /// the vector's keys are checked through its signature.
    #[tokio::test]
    async fn the_vector_of_rfc_7677() {
        let keys = derive(
            "pencil",
            &BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(),
            4096,
        )
        .unwrap();
        let signed = format!(
            "n=user,r=rOprNGfwEbeRWgbNEkqO,{SERVER_FIRST},c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        );
        assert_eq!(
            BASE64_STANDARD.encode(hmac_sha256(&keys.server[..], signed.as_bytes())),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }

    #[tokio::test]
    async fn a_cached_key_gives_the_same_answer() {
        let cache = KeyCache::default();
        let password = Password::new("pencil".into());
        let one = first("rOprNGfwEbeRWgbNEkqO")
            .answer(SERVER_FIRST.as_bytes(), &password, 1, &cache)
            .await
            .unwrap();
        // A wrong password would show here if the cache were not used.
        let other = Password::new("wrong".into());
        let two = first("rOprNGfwEbeRWgbNEkqO")
            .answer(SERVER_FIRST.as_bytes(), &other, 1, &cache)
            .await
            .unwrap();
        assert_eq!(one.message, two.message);
        assert_eq!(
            one.verify(b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            Err(ScramError::Signature)
        );
    }

    #[tokio::test]
    async fn hostile_parameters_are_refused_before_anything_is_computed() {
        let password = Password::new("p".into());
        let cases: [(&str, ScramError); 7] = [
            ("r=other,s=AAAA,i=4096", ScramError::Nonce),
            ("r=abc,s=AAAA,i=4096", ScramError::Nonce),
            ("r=abcd,s=AAAA,i=2147483648", ScramError::Iterations),
            ("r=abcd,s=AAAA,i=100001", ScramError::Iterations),
            ("r=abcd,s=AAAA,i=0", ScramError::Iterations),
            ("r=abcd,s=!,i=4096", ScramError::Salt),
            ("s=AAAA,r=abcd,i=4096", ScramError::Malformed),
        ];
        for (server_first, expected) in cases {
            let answer = first("abc")
                .answer(server_first.as_bytes(), &password, 1, &KeyCache::default())
                .await;
            assert_eq!(answer.err(), Some(expected), "{server_first}");
        }
        let long = format!("r=abcd,s={},i=4096", "A".repeat(2048));
        let answer = first("abc")
            .answer(long.as_bytes(), &password, 1, &KeyCache::default())
            .await;
        assert_eq!(answer.err(), Some(ScramError::Salt));
    }
}
