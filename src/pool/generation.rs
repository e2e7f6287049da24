//! The server connections of a pool that logged in with one version.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use crate::audit::CredentialRef;
use crate::secret::Credential;
use crate::upstream::{KeyCache, Target};

/// A connection belongs to the generation of the credential it *logged in*
/// with, from before its login until it is closed: no clock and no counter is
/// asked afterwards, so a login that races an adoption is never mistaken.
pub struct Generation {
    /// Counts up within a pool, from 1.
    pub number: u64,
    pub credential: Arc<Credential>,
    pub target: Arc<Target>,
    pub(super) keys: KeyCache,
    pub proven_at: SystemTime,
    /// Established connections.
    pub(super) established: AtomicUsize,
}

impl Generation {
    pub(super) fn new(number: u64, credential: Arc<Credential>, target: Arc<Target>) -> Self {
        Self {
            number,
            credential,
            target,
            keys: KeyCache::default(),
            proven_at: SystemTime::now(),
            established: AtomicUsize::new(0),
        }
    }

    pub fn established(&self) -> usize {
        self.established.load(Ordering::Acquire)
    }

    pub fn credential_ref(&self) -> CredentialRef {
        credential_ref(&self.credential)
    }
}

pub(super) fn credential_ref(credential: &Credential) -> CredentialRef {
    CredentialRef {
        secret: credential.secret.as_str().into(),
        arn: credential.arn.clone(),
        version: credential.version.as_str().into(),
        stages: credential.stages.clone(),
        user: credential.username.as_str().into(),
    }
}

/// An older generation that is being retired.
pub(super) struct Draining {
    pub generation: Arc<Generation>,
    pub since: Instant,
    pub started_at: SystemTime,
}
