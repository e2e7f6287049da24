//! A log that is written by one process and then by another, without an end in between.
//!
//! Two processes never write at the same time: the first closes the log, and passes its
//! records on to the second one when that has opened it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Record;
use super::begin::begin;
use super::counts::{Counts, Entry};
use super::desk::Desk;
use super::latest;
use super::line;
use super::log::{Audit, AuditError, name, thread};
use super::options::{AuditSink, Options};
use super::seal::{self, Seals};
use super::ship::{Plan, SinkTrouble, Sinks};
use super::sink::Sink;
use super::writer::{Writer, proxy_name};

/// How long the process before this one may take to let go of the log: its file may be open a
/// moment longer, to be synchronised.
const RELEASE: Duration = Duration::from_secs(5);

/// How many bytes of the end of the log are looked at for records that were on their way. As
/// many records as are passed at a time are fewer.
const LOOKED_AT: u64 = 16 << 20;

/// A record on its way to the process that writes.
#[derive(Serialize, Deserialize)]
pub struct Passed {
    /// Microseconds since 1970.
    time: i64,
    /// Where it was recorded.
    proxy: Arc<str>,
    record: Box<Record>,
}

/// Hands records to another process, and waits until they are written. An error says why they
/// were not; `None`: that process has ended, or has closed the log to end.
pub type Carry = Box<dyn FnMut(Vec<Passed>) -> Option<Result<(), String>> + Send>;

/// The way to the process that writes.
pub(super) struct Outlet {
    carry: Carry,
    proxy: Arc<str>,
    log: String,
}

impl Outlet {
    /// Has entries written, and tells those who wait.
    ///
    /// # Errors
    /// The entries, if the other process writes no more. It may have written some of them.
    pub(super) fn pass(&mut self, entries: Vec<Entry>) -> Result<(), Vec<Entry>> {
        let passed = entries.iter().map(|entry| Passed {
            time: entry.time.timestamp_micros(),
            proxy: entry.proxy.clone().unwrap_or_else(|| self.proxy.clone()),
            record: entry.record.clone(),
        });
        let Some(result) = (self.carry)(passed.collect()) else {
            return Err(entries);
        };
        let result = result.map_err(|error| AuditError::Write {
            path: self.log.clone(),
            error,
        });
        for entry in entries {
            if let Some(done) = entry.done {
                let _ = done.send(result.clone()); // the receiver may be gone
            }
        }
        Ok(())
    }
}

/// Opens the log for this process.
pub(super) struct Opener {
    options: Options,
    counts: Arc<Counts>,
    rotation_check: Duration,
    /// Since the log was opened first.
    seals: OnceLock<Arc<Seals>>,
    plan: Plan,
    /// At work while this process writes.
    sinks: Mutex<Sinks>,
    /// The number of the last record.
    written: Arc<AtomicU64>,
}

impl Opener {
    pub(super) fn new(
        options: &Options,
        counts: Arc<Counts>,
        plan: Plan,
        rotation_check: Duration,
    ) -> Self {
        Self {
            options: options.clone(),
            counts,
            rotation_check,
            seals: OnceLock::new(),
            plan,
            sinks: Mutex::default(),
            written: Arc::default(),
        }
    }

    /// Counts records that this process ends with, and says why.
    pub(super) fn lose(&self, records: usize, error: Option<AuditError>) {
        let error = error.unwrap_or_else(|| AuditError::Locked(name(self.sink())));
        self.counts.lose_at_the_end(records as u64, &error);
    }

    /// The number of the last record that every sink has taken.
    pub(super) fn taken(&self) -> u64 {
        self.sinks.lock().taken()
    }

    /// The sinks that do not take what they should have by now.
    pub(super) fn sink_troubles(&self) -> Vec<SinkTrouble> {
        self.plan.troubles()
    }

    /// Lets the sinks take what is left, for a limited time.
    pub(super) fn close_sinks(&self) {
        let sinks = std::mem::take(&mut *self.sinks.lock());
        sinks.close();
    }

    fn sink(&self) -> &AuditSink {
        &self.options.sink
    }

    /// Whether anybody but the thread may write. A session may write to a file itself, which
    /// takes microseconds; a pipe takes as long as its reader likes.
    pub(super) fn shared(&self) -> bool {
        matches!(self.options.sink, AuditSink::File(_))
    }

    /// Strikes out the entries that the process before has written, and tells those who wait for
    /// them.
    pub(super) fn strike_written(&self, entries: &mut Vec<Entry>) {
        let Some(path) = self.options.sink.file().filter(|_| !entries.is_empty()) else {
            return;
        };
        // The lock of the file is held: nobody writes there. If the end cannot be read, records
        // are rather written twice than not at all.
        let Ok(end) = latest::end(path, LOOKED_AT) else {
            return;
        };
        let own = proxy_name();
        entries.retain_mut(|entry| {
            let proxy = entry.proxy.as_deref().unwrap_or(&own);
            let written = line::has(&end, proxy, entry.time, &entry.record);
            if written && let Some(done) = entry.done.take() {
                let _ = done.send(Ok(())); // the receiver may be gone
            }
            !written
        });
    }

    /// Opens the log where the last writer, of whatever process, has left it.
    ///
    /// # Errors
    /// As for [`Audit::open`].
    pub(super) fn writer(&self, desk: &Arc<Desk>) -> Result<Writer, AuditError> {
        let mut sink = match &self.options.sink {
            AuditSink::Stdout => Sink::stdout(),
            AuditSink::File(path) => Sink::open(path, self.rotation_check)?,
        };
        let (standing, found) = begin(&mut sink)?;
        self.written.store(standing.chain.seq(), Relaxed);
        let first = self.seals.get().is_none();
        let seals = self.seals.get_or_init(|| found.clone()).clone();
        seals.stands_at(found.noted());
        if let Some(path) = sink.path() {
            let origin = &seals.signer().public().name;
            *self.sinks.lock() = self.plan.start(path, origin, &self.written)?;
        }
        let (counts, written) = (self.counts.clone(), self.written.clone());
        let mut writer = Writer::new(sink, standing, seals.clone(), counts, written);
        // What the process before has left unsigned is signed at once.
        if let Some(sealed) = writer.seal(false, false) {
            seals.keep(&sealed, &self.counts);
        }
        if first {
            let (desk, counts, options) = (desk.clone(), self.counts.clone(), self.options.clone());
            thread("audit-seal", &self.options, move || {
                seal::run(&desk, &seals, &counts, &options);
            })?;
        }
        Ok(writer)
    }
}

impl Audit {
    /// Opens the log that another process has just closed. Blocks for five seconds at most.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn take_over(&self) -> Result<(), AuditError> {
        let until = Instant::now() + RELEASE;
        loop {
            match self.desk.open() {
                Err(AuditError::Locked(_)) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                result => return result,
            }
        }
    }

    /// Writes all that was recorded before, and closes the log for another process. What is
    /// recorded from now on waits. Blocks.
    pub fn release(&self) {
        self.desk.write_here(&self.queue);
        self.desk.release();
    }

    /// Passes on no more records, because that process closes the log. They wait until
    /// [`take_over`](Self::take_over). Blocks until those are written that are on their way.
    pub fn hold(&self) {
        self.desk.hold();
    }

    /// Goes on with the log, because no other process does. Its lock may be free a moment later.
    pub fn reclaim(&self) {
        self.desk.reclaim();
        self.queue.call();
    }

    /// Passes records on to the process that has opened the log. If that ends, this one takes
    /// the log again.
    pub fn pass_to(&self, carry: Carry) {
        self.desk.pass_to(Outlet {
            carry,
            proxy: proxy_name().into(),
            log: name(self.desk.opener.sink()),
        });
    }

    /// Writes what another process has recorded. Resolves when the operating system has it.
    ///
    /// # Errors
    /// Why it is not in the log.
    pub async fn record_passed(&self, passed: Vec<Passed>) -> Result<(), AuditError> {
        let mut waits = Vec::new();
        for Passed {
            time,
            proxy,
            record,
        } in passed
        {
            let (done, written) = oneshot::channel();
            self.queue.send(Entry {
                time: DateTime::from_timestamp_micros(time).unwrap_or_else(Utc::now),
                record,
                proxy: Some(proxy),
                done: Some(done),
            })?;
            waits.push(written);
        }
        self.desk.write_here(&self.queue);
        self.queue.hurry();
        for written in waits {
            written.await.unwrap_or(Err(AuditError::Closed))?;
        }
        Ok(())
    }
}
