//! Which version of the protocol a server is asked for.
//!
//! Postgres since 2018 answers a version that it does not know with the newest one
//! that it knows. Older servers, and programs that stand in front of a server,
//! refuse an unknown version: they are asked again in 3.0, and later at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::Target;
use crate::wire::Version;

/// How long a server is asked in 3.0 at once; later it may have been replaced by a newer one.
const ASKED_AGAIN: Duration = Duration::from_secs(60 * 60);

/// How many servers are remembered: secrets that lead to ever new hosts must not
/// fill the memory.
const MOST: usize = 64;

/// The servers that refused 3.2, by host and port, and when they did.
#[derive(Default)]
pub struct OldServers(Mutex<HashMap<(Box<str>, u16), Instant>>);

impl OldServers {
    fn known(&self) -> MutexGuard<'_, HashMap<(Box<str>, u16), Instant>> {
        self.0.lock()
    }

    /// The version in which a server is asked first.
    pub(super) fn version_for(&self, target: &Target) -> Version {
        let known = self.known();
        let since = known.get(&(target.host[..].into(), target.port));
        match since {
            Some(since) if since.elapsed() < ASKED_AGAIN => Version::V3_0,
            _ => Version::V3_2,
        }
    }

    /// Notes that a server refused 3.2 and answered in 3.0.
    pub(super) fn note(&self, target: &Target) {
        let mut known = self.known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert((target.host[..].into(), target.port), Instant::now());
    }
}
