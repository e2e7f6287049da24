//! The thread of a sink: it gathers records, sends them, and tries again until they are taken.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::cursor::Cursor;
use super::format::message;
use super::options::SinkOptions;
use super::sinks::Shared;
use super::standing::Standing;
use super::tail::{Tail, Taken};
use super::target::{Message, Target};
use crate::metrics::{Counter, Gauge};

/// How often a sink looks for more.
const LOOK: Duration = Duration::from_millis(200);

/// The most records that are sent at a time: so many wait in memory.
const BATCH: usize = 1024;

/// The most bytes of their lines.
const BATCH_BYTES: usize = 4 << 20;

/// The wait after a failure, which doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// One sink at work.
pub(super) struct Shipping {
    pub(super) options: SinkOptions,
    pub(super) target: Box<dyn Target>,
    pub(super) log: PathBuf,
    pub(super) origin: String,
    pub(super) cursor: Cursor,
    pub(super) taken: u64,
    /// The number of the last record of the log.
    pub(super) written: Arc<AtomicU64>,
    pub(super) sent: Counter,
    pub(super) failures: Counter,
    pub(super) lag: Gauge,
    pub(super) standing: Arc<Standing>,
}

impl Shipping {
    pub(super) fn run(mut self, shared: &Shared, n: usize) {
        self.work(shared, n);
        // Whoever looks after the log from now on is another.
        self.standing.ended();
    }

    fn work(&mut self, shared: &Shared, n: usize) {
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
        self.standing.stands(self.taken, written);
    }

    fn failed(&mut self, error: &str) {
        self.failures.increment(1);
        if self.standing.failed(error) {
            tracing::warn!(
                sink = self.options.name,
                "an audit sink does not take records, which are kept for it: {error}"
            );
        }
    }

    fn recovered(&mut self) {
        self.tell_lag();
        if self.standing.recovered() {
            tracing::info!(
                sink = self.options.name,
                "the audit sink takes records again"
            );
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
