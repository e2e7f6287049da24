//! What SCRAM computes from a password.

use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::prepare::prepare;
use super::{SCRAM_SHA_256, ScramError};
use crate::base::crew::Crew;
use crate::secret::Password;

/// The keys that a login needs. For a login with this salt they are as good as the password itself,
/// so they are wiped.
pub(super) struct Keys {
    pub client: Zeroizing<[u8; 32]>,
    pub server: Zeroizing<[u8; 32]>,
}

/// The keys of one version's password for the salt last seen. A server keeps
/// its salt until the password changes, so every login after the first skips
/// the key derivation, milliseconds of CPU.
#[derive(Default)]
pub(in crate::upstream) struct KeyCache(Mutex<Option<Derived>>);

struct Derived {
    salt: Vec<u8>,
    iterations: u32,
    keys: Arc<Keys>,
}

impl KeyCache {
    pub(super) fn get(&self, salt: &[u8], iterations: u32) -> Option<Arc<Keys>> {
        let derived = self.0.lock();
        let hit = derived
            .as_ref()
            .filter(|d| d.salt == salt && d.iterations == iterations);
        hit.map(|d| d.keys.clone())
    }

    pub(super) fn put(&self, salt: Vec<u8>, iterations: u32, keys: Arc<Keys>) {
        *self.0.lock() = Some(Derived {
            salt,
            iterations,
            keys,
        });
    }
}

/// What a server keeps of a password, in the form in which `ALTER ROLE …
/// PASSWORD` takes it: a password sent as this never reaches the server, its
/// log or its statistics. Salt and form are those of Postgres' own
/// `scram_build_secret`.
///
/// # Errors
/// [`ScramError`]: there are no random numbers, or no iterations.
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

/// The threads that derive keys, which takes milliseconds of a processor each. Two at a time, so
/// that a burst of logins leaves processors to the sessions.
static DERIVATION: Crew = Crew::new("scram", 2);

pub(super) async fn derive_off_reactor(
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

pub(super) fn derive(password: &str, salt: &[u8], iterations: u32) -> Result<Keys, ScramError> {
    let prepared = prepare(password);
    let mut salted = Zeroizing::new([0u8; 32]);
    let iterations = NonZeroU32::new(iterations).ok_or(ScramError::Malformed)?;
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

pub(super) fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    let mut out = [0; 32];
    out.copy_from_slice(tag.as_ref());
    out
}
