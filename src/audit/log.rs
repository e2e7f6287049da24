//! [`Audit`]: the handle that every part records with.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::desk::Desk;
use super::handover::Opener;
use super::health::{Failing, Health};
use super::metrics::{FAILURES, RECORDS};
use super::queue::{ROOM, Sender, queue};
use super::seal::Seals;
use super::sink::Sink;
use super::standing::{self, Standing};
use super::{AuditSink, OnAuditFailure, Options, Record, key};
use crate::metrics::{Counter, Metrics};

/// How often at most the writer looks whether the log file is still at its path.
const ROTATION_CHECK: Duration = Duration::from_secs(1);

/// How often at most lost records are warned of. Each is counted.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Why a record is not in the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuditError {
    #[error(
        "the audit log {path} cannot be opened: {error}; check [audit] path and who may write there"
    )]
    Open { path: String, error: String },
    #[error("the key of the audit log, {path}, cannot be used: {error}")]
    Key { path: String, error: String },
    #[error(
        "{0} is not an audit log of this version of pgvalet; move it away or change [audit] path"
    )]
    Foreign(String),
    #[error(
        "another process writes the audit log {0}; stop it or give each proxy its own [audit] path"
    )]
    Locked(String),
    #[error("the audit log {path} cannot be written: {error}")]
    Write { path: String, error: String },
    #[error("the audit log does not keep up: {ROOM} records wait to be written")]
    Full,
    #[error("the audit log is closed")]
    Closed,
}

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

/// The audit log. Cheap to clone; dropping the last clone closes the log.
#[derive(Clone)]
pub struct Audit {
    pub(super) queue: Sender,
    pub(super) desk: Arc<Desk>,
    pub(super) counts: Arc<Counts>,
    on_failure: OnAuditFailure,
}

impl Audit {
    /// Opens the log and starts the thread that writes it: a disk that blocks must
    /// not block sessions. The opening itself blocks.
    ///
    /// # Errors
    /// [`AuditError::Open`], [`AuditError::Foreign`] and [`AuditError::Locked`].
    pub fn open(config: &Options, metrics: &Metrics) -> Result<Self, AuditError> {
        Self::open_checking(config, metrics, ROTATION_CHECK)
    }

    pub(super) fn open_checking(
        config: &Options,
        metrics: &Metrics,
        rotation_check: Duration,
    ) -> Result<Self, AuditError> {
        let audit = Self::unopened(config, metrics, rotation_check)?;
        audit.desk.open()?;
        Ok(audit)
    }

    /// A log that another process still writes: records wait until
    /// [`pass_to`](Self::pass_to) or [`take_over`](Self::take_over).
    ///
    /// # Errors
    /// [`AuditError::Open`]
    pub fn later(config: &Options, metrics: &Metrics) -> Result<Self, AuditError> {
        Self::unopened(config, metrics, ROTATION_CHECK)
    }

    fn unopened(
        config: &Options,
        metrics: &Metrics,
        rotation_check: Duration,
    ) -> Result<Self, AuditError> {
        let counts = Arc::new(Counts::new(metrics));
        let (queue, records) = queue();
        let opener = Opener::new(config, counts.clone(), rotation_check);
        let desk = Arc::new(Desk::new(opener));
        let writes = desk.clone();
        thread("audit", config, move || writes.run(records))?;
        Ok(Self {
            queue,
            desk,
            counts,
            on_failure: config.on_failure,
        })
    }

    /// Records without waiting. A record that finds no room is lost and counted, and
    /// the next line says so.
    pub fn record(&self, record: impl Into<Box<Record>>) {
        match self.queue.send(entry(record.into(), None)) {
            Ok(()) => {}
            // The proxy is shutting down, and has logged that.
            Err(AuditError::Closed) => self.counts.failures.increment(1),
            Err(error) => self.counts.lose(1, &error),
        }
    }

    /// Records, and resolves when the operating system has the line: the line then
    /// outlives this process, but not necessarily a loss of power. Cancelling the
    /// future does not take the record back.
    ///
    /// # Errors
    /// Why the record is not in the log.
    pub async fn record_durably(&self, record: impl Into<Box<Record>>) -> Result<(), AuditError> {
        let (done, written) = oneshot::channel();
        if let Err(error) = self.queue.send(entry(record.into(), Some(done))) {
            self.counts.lose(1, &error);
            return Err(error);
        }
        self.desk.write_here(&self.queue);
        // Wakes the thread for what is still in the queue.
        self.queue.hurry();
        written.await.unwrap_or(Err(AuditError::Closed))
    }

    /// Records something that waits for its record before it happens. Where that
    /// cannot be written, `[audit] on_failure` decides; with `continue` nobody waits.
    ///
    /// # Errors
    /// Why the record is not in the log; it must not happen then.
    pub async fn admit(&self, record: impl Into<Box<Record>>) -> Result<(), AuditError> {
        match self.on_failure {
            OnAuditFailure::Deny => self.record_durably(record).await,
            OnAuditFailure::Continue => {
                self.record(record);
                Ok(())
            }
        }
    }

    /// Why records cannot be written at the moment, if so.
    pub fn failing(&self) -> Option<Failing> {
        let stuck = || self.queue.oldest().and_then(Failing::stuck_since);
        self.counts.health.failing().or_else(stuck)
    }

    /// Whether what waits for its record is refused while records cannot be written.
    pub fn denies(&self) -> bool {
        self.on_failure == OnAuditFailure::Deny
    }

    /// Writes all that is queued and closes the log, for every clone.
    pub async fn close(self) {
        self.queue.close().await;
    }
}

/// Where the log stands, and the key that signs it.
pub(super) fn begin(sink: &Sink) -> Result<(Standing, Arc<Seals>), AuditError> {
    let Some(path) = sink.path() else {
        let standing = Standing {
            fresh: true,
            ..Standing::default()
        };
        return Ok((standing, Arc::new(Seals::new(key::of_process()?, None, 0))));
    };
    let signer = key::of_log(path)?;
    let standing = standing::read(path, signer.public())
        .map_err(|error| AuditError::Open {
            path: display(path),
            error: error.to_string(),
        })?
        .ok_or_else(|| AuditError::Foreign(display(path)))?;
    if let Some(gap) = &standing.gap {
        tracing::warn!(path = %path.display(), "audit log: {gap}");
    }
    let seals = Seals::new(signer, Some(path.to_owned()), standing.noted);
    Ok((standing, Arc::new(seals)))
}

pub(super) fn thread(
    name: &str,
    config: &Options,
    work: impl FnOnce() + Send + 'static,
) -> Result<(), AuditError> {
    let started = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work);
    started.map(drop).map_err(|error| AuditError::Open {
        path: self::name(&config.sink),
        error: format!("no thread for it: {error}"),
    })
}

fn entry(record: Box<Record>, done: Option<oneshot::Sender<Result<(), AuditError>>>) -> Entry {
    Entry {
        time: Utc::now(),
        record,
        proxy: None,
        done,
    }
}

/// The name of a sink in error texts.
pub(super) fn name(sink: &AuditSink) -> String {
    match sink {
        AuditSink::File(path) => display(path),
        AuditSink::Stdout => "stdout".to_owned(),
    }
}

pub(super) fn display(path: &Path) -> String {
    path.display().to_string()
}
