//! Who signed a request?

use std::collections::HashMap;

use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use super::ApiError;
use super::caller::{Caller, Peer};
use super::signature::{Signed, SigningKey, unrecognised};
use crate::vault::principals;
use crate::vault::tx::{self, Tx};

/// How many signing keys are kept: one for each access key, day and region in use.
const KEPT: usize = 1024;

/// Recognises callers. A signing key is derived once for each access key, day and
/// region, so that the secret key is unsealed no more often than that.
#[derive(Default)]
pub struct Authenticator {
    keys: Mutex<HashMap<Name, SigningKey>>,
}

/// What a signing key is kept under. The sealed key is part of it, so that another
/// key with the same id has another signing key.
#[derive(PartialEq, Eq, Hash)]
struct Name {
    scope: String,
    access_key: String,
    sealed: Vec<u8>,
}

impl Authenticator {
    /// The key that a request names, if it is accepted and the time may be right.
    pub fn known(&self, tx: &Tx<'_>, signed: &Signed) -> Result<principals::Found, ApiError> {
        let found = principals::by_key(tx, &signed.access_key)?.ok_or_else(unrecognised)?;
        signed.check_time(DateTime::<Utc>::from(tx::time(tx.now)))?;
        Ok(found)
    }

    /// The principal whose key signed the request.
    pub fn recognise(
        &self,
        tx: &Tx<'_>,
        signed: &Signed,
        head: &Parts,
        body: &[u8],
        peer: Peer,
    ) -> Result<Caller, ApiError> {
        let found = self.known(tx, signed)?;
        let name = Name {
            scope: signed.scope().to_owned(),
            access_key: signed.access_key.clone(),
            sealed: found.sealed().to_owned(),
        };
        let known = self.lock().get(&name).cloned();
        match known {
            Some(key) => signed.verify(&key, head, body)?,
            None => {
                let key = signed.signing_key(&found.open(tx)?);
                signed.verify(&key, head, body)?;
                // Kept only after a valid signature, so that strangers cannot fill it.
                let mut keys = self.lock();
                if keys.len() >= KEPT {
                    keys.clear();
                }
                keys.insert(name, key);
            }
        }
        Ok(Caller::of(found.principal, signed.access_key.clone(), peer))
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, HashMap<Name, SigningKey>> {
        self.keys.lock()
    }
}
