//! Turns all queued records into one write, and survives writes that fail.

mod lines;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::Utc;

use super::Record;
use super::checkpoint::TreeRef;
use super::counts::{Counts, Entry};
use super::line::Chain;
use super::log::AuditError;
use super::options::Segments;
use super::seal::{Sealed, Seals};
use super::segment::Current;
use super::sink::{Moved, Sink};
use super::standing::Standing;

/// The memory of a write that is kept for the next one.
const KEPT: usize = 256 * 1024;

pub(super) struct Writer {
    sink: Sink,
    /// Where the chain stood after the last write.
    chain: Chain,
    counts: Arc<Counts>,
    /// The number of the last record, for those who follow the log.
    written: Arc<AtomicU64>,
    seals: Arc<Seals>,
    /// The size of the tree when it was signed last, with the record that says so.
    sealed: u64,
    /// Why the next record begins a file, if it does.
    heading: Option<Option<Cow<'static, str>>>,
    /// The file, if it has a record.
    current: Option<Current>,
    /// What the next record but the heading reports.
    gap: Option<String>,
    /// Whether this process has written anything.
    used: bool,
    /// Empty between writes; kept to reuse its memory.
    batch: Vec<Entry>,
    bytes: Vec<u8>,
    /// Host name and process id, which tell apart the proxies in a collected log.
    proxy: String,
}

/// Host name and process id.
pub(super) fn proxy_name() -> String {
    let host = nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|_| "unknown".to_owned());
    format!("{host}:{}", std::process::id())
}

impl Writer {
    pub(super) fn new(
        mut sink: Sink,
        standing: Standing,
        seals: Arc<Seals>,
        counts: Arc<Counts>,
        written: Arc<AtomicU64>,
    ) -> Self {
        sink.begin_with(standing.start);
        Self {
            sink,
            chain: standing.chain,
            counts,
            written,
            seals,
            sealed: standing.noted,
            heading: standing.fresh.then(|| standing.why.map(Cow::from)),
            current: standing.current,
            gap: standing.gap,
            used: false,
            batch: Vec::new(),
            bytes: Vec::new(),
            proxy: proxy_name(),
        }
    }

    /// Ends the log: its lines are on the disk then, or a warning says why not.
    pub(super) fn finish(mut self) {
        // Signed twice: the second checkpoint proves which one before it was the newest. A log
        // whose checkpoint beside it could not be written, or whose last record, was not closed:
        // on a full disk it would look as if an older checkpoint had been put back.
        for closed in [false, true] {
            let new = self.unsealed() > 0;
            let sealed = self.seal(closed, closed && self.used);
            let kept = match &sealed {
                Some(sealed) => self.seals.keep(sealed, &self.counts),
                None => !new,
            };
            if !kept {
                break;
            }
        }
        if let Err(error) = self.sink.sync() {
            tracing::warn!(%error, "the audit log could not be synchronised to disk");
        }
    }

    /// Whether the next write has more to do than write: look for a rotation.
    pub(super) fn does_more(&self) -> bool {
        self.sink.is_due()
    }

    /// How many records nothing has signed yet.
    pub(super) fn unsealed(&self) -> u64 {
        self.chain.seq().saturating_sub(self.sealed)
    }

    /// Writes the records that `take` moves to a batch.
    pub(super) fn write(&mut self, take: impl FnOnce(&mut Vec<Entry>)) {
        let mut batch = std::mem::take(&mut self.batch);
        take(&mut batch);
        if !batch.is_empty() {
            self.write_batch(&mut batch);
        }
        self.batch = batch;
    }

    fn write_batch(&mut self, batch: &mut Vec<Entry>) {
        let records = batch.len() as u64;
        self.follow();
        let (written, result) = self.write_lines(batch);
        self.counts.records.increment(written);
        match &result {
            Ok(()) => self.counts.health.written(),
            Err(error) => self.counts.lose(records - written, error),
        }
        for entry in batch.drain(..) {
            if let Some(done) = entry.done {
                let _ = done.send(result.clone()); // the receiver may be gone
            }
        }
    }

    /// Notices what another program did to the file.
    fn follow(&mut self) {
        match self.sink.follow() {
            Ok(None) => {}
            Ok(Some(Moved::Renamed)) => {
                tracing::info!(path = %self.sink.name(), "the audit log was renamed; it goes on in a new file");
                self.heading = Some(Some("the file was renamed by another program".into()));
            }
            Ok(Some(Moved::Truncated)) => {
                tracing::warn!(path = %self.sink.name(), "the audit log was cut by another program; what it did not copy before is gone");
                self.heading = Some(Some("the file was cut by another program".into()));
            }
            Err(error) => self.counts.warn(&error),
        }
    }

    /// Writes the entries, behind what the log itself has to say. Returns how many of the
    /// entries are in the log.
    fn write_lines(&mut self, entries: &[Entry]) -> (u64, Result<(), AuditError>) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut chain = self.chain.clone();
        let first = chain.seq() + 1;
        let lost = self.counts.lost.load(Ordering::Relaxed);
        let composed = self.compose(&mut bytes, &mut chain, lost, entries);
        let failed = |sink: &Sink, error: String| AuditError::Write {
            path: sink.name(),
            error,
        };
        let result = match composed {
            Err(e) => (0, Err(failed(&self.sink, e.to_string()))),
            Ok(own) => match self.sink.write(&bytes) {
                Ok(()) => {
                    self.chain = chain;
                    self.reported(own, lost, first);
                    (entries.len() as u64, Ok(()))
                }
                Err(e) => {
                    let lines = self.broke_off(&bytes);
                    self.reported(own.min(lines), if lines > 0 { lost } else { 0 }, first);
                    let written = lines.saturating_sub(own);
                    (written, Err(failed(&self.sink, e.to_string())))
                }
            },
        };
        if bytes.capacity() <= KEPT {
            self.bytes = bytes;
        }
        self.written.store(self.chain.seq(), Ordering::Relaxed);
        result
    }

    /// Notes that the log's first `own` lines are written, and the number of lost records.
    fn reported(&mut self, own: u64, lost: u64, first: u64) {
        let current = Current {
            first,
            began: Utc::now(),
        };
        self.used = true;
        for _ in 0..own {
            match self.heading.take() {
                Some(_) => self.current = Some(current),
                None => self.gap = None,
            }
        }
        self.counts.lost.fetch_sub(lost, Ordering::Relaxed);
    }

    /// Closes the file if it is full, and goes on in a new one. `true`: there is a closed file.
    pub(super) fn close_full(&mut self, limits: &Segments) -> bool {
        let (Some(log), Some(current)) = (self.sink.path(), self.current) else {
            return false;
        };
        let full = current.is_full(self.sink.length(), limits, Utc::now());
        // A file that has only its heading is not closed: it would have no records.
        if !full || self.heading.is_some() || self.chain.seq() == current.first {
            return false;
        }
        let closed = current.closed(log);
        if let Err(error) = self.sink.close_as(&closed) {
            self.counts.warn(&error);
            return false;
        }
        self.heading = Some(None);
        // If that fails, the next record tries it again.
        let _ = self.write_lines(&[]);
        true
    }

    /// Writes a record of the log itself. `false`: it is not in the log.
    pub(super) fn tell(&mut self, record: Record) -> bool {
        let entry = Entry {
            time: Utc::now(),
            record: record.into(),
            proxy: None,
            done: None,
        };
        let (written, result) = self.write_lines(std::slice::from_ref(&entry));
        self.counts.records.increment(written);
        if let Err(error) = &result {
            self.counts.warn(error);
        }
        result.is_ok()
    }

    /// Signs what is in the log, and records that. `None`: there is nothing new to sign, unless
    /// it is wanted anyway, or the record could not be written.
    pub(super) fn seal(&mut self, closed: bool, anyway: bool) -> Option<Sealed> {
        if self.chain.seq() == 0 || (self.unsealed() == 0 && !anyway) {
            return None;
        }
        // What is still to be said stands before it.
        if (self.heading.is_some() || self.gap.is_some()) && self.write_lines(&[]).1.is_err() {
            return None;
        }
        let tree = TreeRef {
            closed,
            ..self.tree_ref(false)
        };
        if !self.tell(Record::checkpoint(tree, None)) {
            return None;
        }
        self.sealed = self.chain.seq();
        Some(Sealed {
            chain: self.chain.clone(),
            file: self.sink.handle(),
        })
    }
}
