//! Records on their way, and what becomes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Record;
use super::health::Health;
use super::log::AuditError;
use super::metrics::{FAILURES, RECORDS};
use crate::metrics::{Counter, Metrics};

/// How often at most lost records are warned of. Each is counted.
const WARN_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Entry {
    pub(super) time: DateTime<Utc>,
    /// On the heap, because a record is large and is moved several times.
    pub(super) record: Box<Record>,
    /// The process that has recorded it, if that is another one.
    pub(super) proxy: Option<Arc<str>>,
    /// Told when the operating system has the line.
    pub(super) done: Option<oneshot::Sender<Result<(), AuditError>>>,
}

/// What the handle and the writer both count.
pub(super) struct Counts {
    pub(super) records: Counter,
    pub(super) failures: Counter,
    /// Records lost since the last line. The next line says how many.
    pub(super) lost: AtomicU64,
    warned: Mutex<Option<Instant>>,
    pub(super) health: Health,
}

impl Counts {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            records: metrics.series(&RECORDS, []),
            failures: metrics.series(&FAILURES, []),
            lost: AtomicU64::new(0),
            warned: Mutex::new(None),
            health: Health::default(),
        }
    }

    pub(super) fn lose(&self, records: u64, error: &AuditError) {
        self.failures.increment(records);
        self.health.failed(error);
        self.lost.fetch_add(records, Ordering::Relaxed);
        self.warn(error);
    }

    /// Records that waited for a log which another process does not let go of.
    pub(super) fn lose_at_the_end(&self, records: u64, error: &AuditError) {
        self.failures.increment(records);
        tracing::error!("{records} audit records are lost with the end of this process: {error}");
    }

    pub(super) fn warn(&self, error: &AuditError) {
        // Locked: another thread is warning at this moment.
        if let Some(mut warned) = self.warned.try_lock()
            && warned.is_none_or(|at| at.elapsed() >= WARN_EVERY)
        {
            *warned = Some(Instant::now());
            tracing::warn!(%error, "audit log failure");
        }
    }
}
