//! Whether records can be written at the moment, for those who look after the proxy.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;

use super::AuditError;

/// A record that has waited for longer shows that the disk or the reader is stuck.
const STUCK: Duration = Duration::from_secs(5);

/// Records cannot be written.
#[derive(Debug, Clone)]
pub struct Failing {
    pub since: SystemTime,
    /// When that was last tried.
    pub tried: SystemTime,
    pub why: String,
}

impl Failing {
    /// `oldest`: the time of the first record that waits to be written.
    pub(super) fn stuck_since(oldest: DateTime<Utc>) -> Option<Self> {
        let now = SystemTime::now();
        let since = SystemTime::from(oldest);
        let waits = now.duration_since(since).ok()?;
        (waits > STUCK).then(|| Self {
            since,
            tried: now,
            why: "a write to the audit log has not come back".to_owned(),
        })
    }
}

#[derive(Default)]
pub(super) struct Health {
    /// Read by every write, so that a write that succeeds takes no lock.
    is_failing: AtomicBool,
    failing: Mutex<Option<Failing>>,
}

impl Health {
    pub fn failed(&self, error: &AuditError) {
        let now = SystemTime::now();
        let mut failing = self.failing.lock();
        let since = failing.as_ref().map_or(now, |f| f.since);
        *failing = Some(Failing {
            since,
            tried: now,
            why: error.to_string(),
        });
        self.is_failing.store(true, Relaxed);
    }

    pub fn written(&self) {
        if self.is_failing.swap(false, Relaxed) {
            *self.failing.lock() = None;
        }
    }

    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Relaxed)
    }

    pub fn failing(&self) -> Option<Failing> {
        self.failing.lock().clone()
    }
}
