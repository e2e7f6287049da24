//! Which version of the protocol a server is asked for.
//!
//! Postgres since 2018 answers a version that it does not know with the one
//! that it does. Older ones, and programs that stand in front of a server,
//! refuse it: those are asked again in 3.0, and then at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::Target;
use crate::wire::Version;

/// It may have been replaced by a newer one.
const ASKED_AGAIN: Duration = Duration::from_secs(60 * 60);

/// Secrets that lead to ever new hosts must not fill the memory.
const MOST: usize = 64;

/// Servers that refused 3.2, and when.
#[derive(Default)]
pub struct OldServers(Mutex<HashMap<(Box<str>, u16), Instant>>);

impl OldServers {
    fn known(&self) -> MutexGuard<'_, HashMap<(Box<str>, u16), Instant>> {
        self.0.lock()
    }

    pub(super) fn version_for(&self, target: &Target) -> Version {
        let known = self.known();
        let since = known.get(&(target.host[..].into(), target.port));
        match since {
            Some(since) if since.elapsed() < ASKED_AGAIN => Version::V3_0,
            _ => Version::V3_2,
        }
    }

    pub(super) fn note(&self, target: &Target) {
        let mut known = self.known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert((target.host[..].into(), target.port), Instant::now());
    }
}
