//! The server connections of a pool that logged in with one version, in one way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime};

use super::roster::Roster;
use crate::secret::{Credential, Standing};
use crate::upstream::{LoginCache, OldServers, Options, Target};

/// The server connections of a pool that logged in with one version, in one way.
///
/// A connection belongs to the generation of the credential it *logged in* with,
/// from before its login until it is closed. No clock and no counter decides that
/// afterwards, so a login that races an adoption is never mistaken.
pub struct Generation {
    /// The number of the generation; it counts up within a pool, from 1.
    pub number: u64,
    pub credential: Arc<Credential>,
    pub target: Arc<Target>,
    /// The options that the target was made of.
    pub(super) options: Arc<Options>,
    /// What the logins of the generation keep for the next one.
    pub(super) logins: LoginCache,
    pub proven_at: SystemTime,
    /// What made the version worth trying when it was adopted.
    pub standing: Standing,
    pub(super) roster: Roster,
    /// Established connections.
    pub(super) established: AtomicUsize,
    /// Logins under way, which may yet become connections.
    pub(super) arriving: AtomicUsize,
}

impl Generation {
    pub(super) fn new(
        number: u64,
        credential: Arc<Credential>,
        target: Arc<Target>,
        options: Arc<Options>,
        standing: Standing,
        old_servers: Arc<OldServers>,
    ) -> Self {
        Self {
            number,
            credential,
            target,
            options,
            logins: LoginCache::with_old_servers(old_servers),
            proven_at: SystemTime::now(),
            standing,
            roster: Roster::default(),
            established: AtomicUsize::new(0),
            arriving: AtomicUsize::new(0),
        }
    }

    /// How many connections there are.
    pub fn established(&self) -> usize {
        self.established.load(Ordering::Acquire)
    }

    /// Whether no connection is left, and none will come.
    pub(super) fn is_gone(&self) -> bool {
        // A login moves from `arriving` to `established`: read in this order, it is
        // seen in at least one of them.
        self.arriving.load(Ordering::Acquire) == 0 && self.established() == 0
    }
}

/// An older generation that is being retired.
pub(super) struct Draining {
    pub generation: Arc<Generation>,
    pub since: Instant,
    pub started_at: SystemTime,
}
