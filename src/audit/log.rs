//! [`Audit`]: the handle that every part records with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::counts::{Counts, Entry};
use super::desk::Desk;
use super::handover::Opener;
use super::health::Failing;
use super::queue::{ROOM, Sender, queue};
use super::ship::{Plan, SinkTrouble};
use super::{AuditSink, OnAuditFailure, Options, Record};
use crate::metrics::Metrics;

/// How often at most the writer looks whether the log file is still at its path.
const ROTATION_CHECK: Duration = Duration::from_secs(1);

/// How long a record is waited for. A disk, or a reader of standard output, that takes longer
/// is stuck, and `on_failure` decides.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same while it is known to be stuck.
const IMPATIENCE: Duration = Duration::from_millis(100);

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
    #[error("the sink {name:?} of the audit log cannot be used: {error}; see [[audit.sink]]")]
    Sink { name: String, error: String },
    #[error("the audit log {path} cannot be written: {error}")]
    Write { path: String, error: String },
    #[error("the audit log does not keep up: {ROOM} records wait to be written")]
    Full,
    #[error("a write to the audit log {0} has not come back")]
    Stuck(String),
    #[error("the audit log is closed")]
    Closed,
}

/// The audit log. Cheap to clone; dropping the last clone closes the log.
#[derive(Clone)]
pub struct Audit {
    pub(super) queue: Sender,
    pub(super) desk: Arc<Desk>,
    pub(super) counts: Arc<Counts>,
    on_failure: OnAuditFailure,
    leases: bool,
    /// Of the place where it writes, for people.
    name: Arc<str>,
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
        let plan = Plan::new(&config.sinks, metrics);
        let opener = Opener::new(config, counts.clone(), plan, rotation_check);
        let desk = Arc::new(Desk::new(opener));
        let writes = desk.clone();
        thread("audit", config, move || writes.run(records))?;
        Ok(Self {
            queue,
            desk,
            counts,
            on_failure: config.on_failure,
            leases: config.leases,
            name: name(&config.sink).into(),
        })
    }

    /// Records without waiting. A record that finds no room is lost and counted, and
    /// the next line says so.
    pub fn record(&self, record: impl Into<Box<Record>>) {
        self.record_at(Utc::now(), record);
    }

    /// The same of something that has happened at this time.
    pub fn record_at(&self, time: DateTime<Utc>, record: impl Into<Box<Record>>) {
        match self.queue.send(entry(time, record.into(), None)) {
            Ok(()) => {}
            // The proxy is shutting down, and has logged that.
            Err(AuditError::Closed) => self.counts.failures.increment(1),
            Err(error) => self.counts.lose(1, &error),
        }
    }

    /// Records, and resolves when the operating system has the line: the line then
    /// outlives this process, but not necessarily a loss of power. Cancelling the
    /// future does not take the record back. It is waited for no longer than five seconds.
    ///
    /// # Errors
    /// Why the record is not in the log.
    pub async fn record_durably(&self, record: impl Into<Box<Record>>) -> Result<(), AuditError> {
        let (done, mut written) = oneshot::channel();
        if let Err(error) = self
            .queue
            .send(entry(Utc::now(), record.into(), Some(done)))
        {
            self.counts.lose(1, &error);
            return Err(error);
        }
        self.desk.write_here(&self.queue);
        if let Ok(result) = written.try_recv() {
            return result;
        }
        self.queue.hurry();
        let patience = match self.counts.health.is_failing() {
            true => IMPATIENCE,
            false => PATIENCE,
        };
        match tokio::time::timeout(patience, &mut written).await {
            Ok(result) => result.unwrap_or(Err(AuditError::Closed)),
            Err(_) => Err(self.give_up(written)),
        }
    }

    /// Takes back the record that `written` waits for, unless it is just being written. It must
    /// not stand in the log later: what it tells of has been refused, or has long happened.
    fn give_up(&self, written: oneshot::Receiver<Result<(), AuditError>>) -> AuditError {
        drop(written);
        let error = AuditError::Stuck(self.name.to_string());
        self.counts.lose(self.queue.forget(), &error);
        error
    }

    /// [`admit`](Self::admit) for a thread that may wait; no task may call it.
    ///
    /// # Errors
    /// Why the record is not in the log.
    pub fn admit_here(&self, record: impl Into<Box<Record>>) -> Result<(), AuditError> {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.block_on(self.admit(record)),
            Err(_) => Err(AuditError::Closed),
        }
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

    /// The sinks that do not take what they should have by now.
    pub fn sink_troubles(&self) -> Vec<SinkTrouble> {
        self.desk.opener.sink_troubles()
    }

    /// Whether what waits for its record is refused while records cannot be written.
    pub fn denies(&self) -> bool {
        self.on_failure == OnAuditFailure::Deny
    }

    /// Whether each lease has a record.
    pub fn wants_leases(&self) -> bool {
        self.leases
    }

    /// Writes all that is queued and closes the log, for every clone. Then the sinks have a few
    /// seconds for what they have not taken yet.
    pub async fn close(self) {
        self.queue.close().await;
        let desk = self.desk;
        // It does not panic.
        let _ = tokio::task::spawn_blocking(move || desk.opener.close_sinks()).await;
    }
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

fn entry(
    time: DateTime<Utc>,
    record: Box<Record>,
    done: Option<oneshot::Sender<Result<(), AuditError>>>,
) -> Entry {
    Entry {
        time,
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
