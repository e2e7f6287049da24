//! SCRAM-SHA-256, the client's side.
//!
//! Sources: RFC 5802, RFC 7677, RFC 5929 (tls-server-end-point); PostgreSQL's
//! chapter "SASL Authentication". Written here, because the keys are cached
//! per version of a secret, the key derivation runs off the reactor, and a
//! hostile server's parameters are refused before anything is computed.

mod keys;
mod messages;
mod prepare;

use std::ops::RangeInclusive;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::LoginCache;
use crate::secret::Password;

pub(super) use keys::KeyCache;
pub use keys::verifier;
use keys::{derive_off_reactor, hmac_sha256};
pub use messages::{ServerFirst, server_signature};

pub const SCRAM_SHA_256: &str = "SCRAM-SHA-256";
pub const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// Why an exchange was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramError {
    Malformed,
    /// The server's nonce does not continue ours.
    Nonce,
    /// The server asks for more iterations than are accepted: this many.
    TooMany(u32),
    /// The server asks for fewer iterations than are accepted: this many.
    TooFew(u32),
    /// The salt is too long, or not base64.
    Salt,
    /// The server does not know the password either.
    Signature,
    /// The server says that it does not accept ours.
    Refused,
    /// The system gives no random numbers.
    Random,
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

    /// The first message without its binding. The user name is empty: Postgres takes it from the
    /// start-up packet.
    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    pub fn message(&self) -> Vec<u8> {
        let mut message = self.binding.header().to_vec();
        message.extend(self.bare().as_bytes());
        message
    }

    /// Answers the server's first message. `accepted`: other numbers of iterations are
    /// refused.
    ///
    /// # Errors
    /// [`ScramError`]; nothing was computed from the password then.
    pub async fn answer(
        self,
        server_first: &[u8],
        password: &Password,
        accepted: &RangeInclusive<u32>,
        cache: &LoginCache,
    ) -> Result<ClientFinal, ScramError> {
        let ServerFirst {
            text: server_first,
            nonce,
            salt,
            iterations,
        } = ServerFirst::read(server_first, &self.nonce)?;
        if iterations < *accepted.start() {
            return Err(ScramError::TooFew(iterations));
        }
        if iterations > *accepted.end() {
            return Err(ScramError::TooMany(iterations));
        }

        let keys = match cache.keys.get(&salt, iterations) {
            Some(keys) => keys,
            None => {
                let keys = derive_off_reactor(password.clone(), salt.clone(), iterations).await?;
                cache.keys.put(salt, iterations, keys.clone());
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
    ///
    /// # Errors
    /// [`ScramError`]: it does not, or refuses ours.
    pub fn verify(self, server_final: &[u8]) -> Result<(), ScramError> {
        let signature = server_signature(server_final)?;
        verify_slices_are_equal(&signature, &self.server_signature)
            .map_err(|_| ScramError::Signature)
    }
}

#[cfg(test)]
mod tests;
