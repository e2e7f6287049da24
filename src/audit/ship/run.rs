//! The thread of a sink: it gathers records, sends them, and tries again until they are taken.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Runtime;

use super::cursor::Cursor;
use super::format::message;
use super::options::SinkOptions;
use super::tail::{Tail, Taken};
use super::target::{Message, Target, of};
use crate::audit::log::AuditError;
use crate::audit::metrics::{SINK_FAILURES, SINK_LAG, SINK_RECORDS};
use crate::metrics::{Counter, Gauge, Metrics};

/// How often a sink looks for more.
const LOOK: Duration = Duration::from_millis(200);

/// The most records that are sent at a time: so many wait in memory.
const BATCH: usize = 1024;

/// The most bytes of their lines.
const BATCH_BYTES: usize = 4 << 20;

/// The wait after a failure, which doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long sinks may take to get what is left when the log is closed.
const GOODBYE: Duration = Duration::from_secs(3);

/// The sinks of a log.
#[derive(Default)]
pub struct Sinks {
    threads: Mutex<Vec<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The number of the last record that each sink has taken.
    taken: Vec<AtomicU64>,
    closing: AtomicBool,
    lock: Mutex<()>,
    woken: Condvar,
}

impl Sinks {
    /// The number of the last record that every sink has taken; files with later ones are kept.
    pub fn taken(&self) -> u64 {
        let taken = self.shared.taken.iter().map(|n| n.load(Relaxed));
        taken.min().unwrap_or(u64::MAX)
    }

    /// Lets the sinks take what is left, for a limited time. No more is written to the log.
    pub fn close(&self) {
        self.shared.closing.store(true, Relaxed);
        self.shared.woken.notify_all();
        let until = Instant::now() + GOODBYE;
        for thread in self.threads.lock().drain(..) {
            while !thread.is_finished() && Instant::now() < until {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.shared.closing.store(true, Relaxed);
        self.shared.woken.notify_all();
    }
}

/// The sinks of a log that is to be opened.
pub struct Plan(Vec<Planned>);

struct Planned {
    options: SinkOptions,
    sent: Counter,
    failures: Counter,
    lag: Gauge,
}

impl Plan {
    pub fn new(options: &[SinkOptions], metrics: &Metrics) -> Self {
        let of = |options: &SinkOptions| {
            let labels = || [options.name.as_str()];
            Planned {
                options: options.clone(),
                sent: metrics.series(&SINK_RECORDS, labels()),
                failures: metrics.series(&SINK_FAILURES, labels()),
                lag: metrics.series(&SINK_LAG, labels()),
            }
        };
        Self(options.iter().map(of).collect())
    }

    /// Starts the sinks of the log at `path`, which has `written` so many records. `origin`
    /// names it.
    ///
    /// # Errors
    /// A sink can never work.
    pub fn start(
        &self,
        path: &Path,
        origin: &str,
        written: &Arc<AtomicU64>,
    ) -> Result<Sinks, AuditError> {
        start(&self.0, path, origin, written)
    }
}

fn start(
    plan: &[Planned],
    path: &Path,
    origin: &str,
    written: &Arc<AtomicU64>,
) -> Result<Sinks, AuditError> {
    let mut shipping = Vec::new();
    for Planned {
        options,
        sent,
        failures,
        lag,
    } in plan
    {
        let wrong = |error: String| AuditError::Sink {
            name: options.name.clone(),
            error,
        };
        let cursor = Cursor::of(path, &options.name);
        let taken = cursor.read().map_err(|e| wrong(e.to_string()))?;
        shipping.push(Shipping {
            target: of(options, origin).map_err(wrong)?,
            options: options.clone(),
            log: path.to_owned(),
            origin: origin.to_owned(),
            cursor,
            taken,
            written: written.clone(),
            sent: sent.clone(),
            failures: failures.clone(),
            lag: lag.clone(),
            failing: false,
        });
    }
    let taken = shipping.iter().map(|s| AtomicU64::new(s.taken)).collect();
    let shared = Arc::new(Shared {
        taken,
        ..Shared::default()
    });
    let mut threads = Vec::new();
    for (n, shipping) in shipping.into_iter().enumerate() {
        let (name, shared) = (shipping.options.name.clone(), shared.clone());
        let started = thread::Builder::new()
            .name(format!("sink-{name}"))
            .spawn(move || shipping.run(&shared, n));
        threads.push(started.map_err(|e| AuditError::Sink {
            name,
            error: format!("no thread for it: {e}"),
        })?);
    }
    Ok(Sinks {
        threads: Mutex::new(threads),
        shared,
    })
}

/// A runtime for the requests of one sink.
pub fn runtime() -> Result<Runtime, String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().map_err(|e| e.to_string())
}

/// One sink at work.
struct Shipping {
    options: SinkOptions,
    target: Box<dyn Target>,
    log: PathBuf,
    origin: String,
    cursor: Cursor,
    taken: u64,
    /// The number of the last record of the log.
    written: Arc<AtomicU64>,
    sent: Counter,
    failures: Counter,
    lag: Gauge,
    failing: bool,
}

impl Shipping {
    fn run(mut self, shared: &Shared, n: usize) {
        let mut tail = Tail::after(&self.log, self.taken);
        let mut wait = FIRST_WAIT;
        let mut batch = Batch::default();
        loop {
            let closing = shared.closing.load(Relaxed);
            let read = self.gather(&mut tail, &mut batch);
            self.tell_lag();
            let done = match read {
                Err(error) => Err(error),
                Ok(()) if batch.is_due(self.options.interval) || closing => self.deliver(&batch),
                Ok(()) => {
                    shared.wait(LOOK.min(self.options.interval.max(Duration::from_millis(10))));
                    continue;
                }
            };
            match done {
                Ok(()) => {
                    wait = FIRST_WAIT;
                    if let Some(last) = batch.last {
                        self.taken = last;
                        shared.taken[n].store(last, Relaxed);
                    }
                    if closing && batch.last.is_none() {
                        return;
                    }
                    batch = Batch::default();
                    self.recovered();
                }
                Err(error) => {
                    self.failed(&error);
                    if closing {
                        return;
                    }
                    shared.wait(wait);
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    /// Takes what there is into the batch, as far as that has room.
    fn gather(&self, tail: &mut Tail, batch: &mut Batch) -> Result<(), String> {
        while !batch.is_full() {
            let next = tail.next();
            match next.map_err(|e| format!("the log cannot be read: {e}"))? {
                None => return Ok(()),
                Some(taken) => batch.add(&taken, message(&self.options, &taken, &self.origin)),
            }
        }
        Ok(())
    }

    fn deliver(&mut self, batch: &Batch) -> Result<(), String> {
        let Some(last) = batch.last else {
            return Ok(());
        };
        if !batch.messages.is_empty() {
            self.target.send(&batch.messages)?;
            self.sent.increment(batch.messages.len() as u64);
        }
        let kept = self.cursor.write(last);
        kept.map_err(|e| format!("how far it is cannot be written down: {e}"))
    }

    fn tell_lag(&self) {
        let written = self.written.load(Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a metric")]
        self.lag.set(written.saturating_sub(self.taken) as f64);
    }

    fn failed(&mut self, error: &str) {
        self.failures.increment(1);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(
                sink = self.options.name,
                "an audit sink does not take records, which are kept for it: {error}"
            );
        }
    }

    fn recovered(&mut self) {
        self.tell_lag();
        if std::mem::take(&mut self.failing) {
            tracing::info!(
                sink = self.options.name,
                "the audit sink takes records again"
            );
        }
    }
}

impl Shared {
    fn wait(&self, time: Duration) {
        let mut lock = self.lock.lock();
        if !self.closing.load(Relaxed) {
            self.woken.wait_for(&mut lock, time);
        }
    }
}

/// Records that were gathered.
#[derive(Default)]
struct Batch {
    messages: Vec<Message>,
    bytes: usize,
    records: usize,
    /// The number of the last one, sent or not.
    last: Option<u64>,
    began: Option<Instant>,
}

impl Batch {
    fn add(&mut self, taken: &Taken, message: Option<Message>) {
        self.last = Some(taken.seq);
        self.records += 1;
        self.began.get_or_insert_with(Instant::now);
        if let Some(message) = message {
            self.bytes += message.text.len();
            self.messages.push(message);
        }
    }

    fn is_full(&self) -> bool {
        self.records >= 4 * BATCH || self.messages.len() >= BATCH || self.bytes >= BATCH_BYTES
    }

    fn is_due(&self, interval: Duration) -> bool {
        self.is_full() || self.began.is_some_and(|began| began.elapsed() >= interval)
    }
}
