//! Turns all queued records into one write, and survives writes that fail.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::line::{Chain, Notes, append};
use super::log::{AuditError, Counts, Entry};
use super::sink::Sink;

pub(super) struct Writer {
    sink: Sink,
    /// Where the chain stood after the last write that succeeded.
    chain: Chain,
    state: State,
    counts: Arc<Counts>,
    /// Empty between writes; kept to reuse its memory.
    batch: Vec<Entry>,
    /// Host name and process id, which tell apart the proxies in a collected log.
    proxy: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The sink ends where the chain stands.
    Whole,
    /// A write failed, after an unknown number of bytes.
    Unknown,
}

impl Writer {
    pub(super) fn new(sink: Sink, chain: Chain, counts: Arc<Counts>) -> Self {
        let host = nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_else(|_| "unknown".to_owned());
        Self {
            sink,
            chain,
            state: State::Whole,
            counts,
            batch: Vec::new(),
            proxy: format!("{host}:{}", std::process::id()),
        }
    }

    /// Ends the log: its lines are on the disk then, or a warning says why not.
    pub(super) fn finish(self) {
        if let Err(error) = self.sink.sync() {
            tracing::warn!(%error, "the audit log could not be synchronised to disk");
        }
    }

    /// Whether the next write has more to do than write: recover from a failed one, or
    /// look for a rotation.
    pub(super) fn does_more(&self) -> bool {
        self.state == State::Unknown || self.sink.is_due()
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
        let result = self.write_lines(batch);
        match &result {
            Ok(()) => self.counts.records.increment(records),
            Err(error) => self.counts.lose(records, error),
        }
        for entry in batch.drain(..) {
            if let Some(done) = entry.done {
                let _ = done.send(result.clone()); // the receiver may be gone
            }
        }
    }

    fn write_lines(&mut self, batch: &[Entry]) -> Result<(), AuditError> {
        if let Err(error) = self.sink.follow() {
            self.counts.warn(&error);
        }
        if self.state == State::Unknown {
            self.recover();
        }
        let start = self.sink.start();
        let lost = self.counts.lost.load(Ordering::Relaxed);
        let mut notes = Notes {
            lost,
            torn: start.torn,
        };
        let mut chain = self.chain.clone();
        let mut bytes = Vec::with_capacity(batch.len() * 512);
        if start.newline {
            bytes.push(b'\n');
        }
        let failed = |sink: &Sink, error: String| AuditError::Write {
            path: sink.name(),
            error,
        };
        for entry in batch {
            append(
                &mut bytes,
                &mut chain,
                &self.proxy,
                entry.time,
                std::mem::take(&mut notes),
                &entry.record,
            )
            .map_err(|e| failed(&self.sink, e.to_string()))?;
        }
        if let Err(e) = self.sink.write(&bytes) {
            self.state = State::Unknown;
            return Err(failed(&self.sink, e.to_string()));
        }
        self.chain = chain;
        self.counts.lost.fetch_sub(lost, Ordering::Relaxed);
        Ok(())
    }

    /// Finds out how much of the failed write is in the file.
    fn recover(&mut self) {
        if let Some(chain) = self.sink.recover()
            // If somebody cut the file, it holds less than was written. The chain
            // continues from what was written, so that the cut shows.
            && chain.seq > self.chain.seq
        {
            let written = chain.seq - self.chain.seq;
            let lost = &self.counts.lost;
            let _ = lost.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lost| {
                Some(lost.saturating_sub(written))
            });
            self.chain = chain;
        }
        self.state = State::Whole;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::time::Duration;

    use chrono::Utc;

    use super::*;
    use crate::audit::{Record, verify};
    use crate::metrics::Metrics;

    fn entry() -> Entry {
        Entry {
            time: Utc::now(),
            record: Record::reload().into(),
            done: None,
        }
    }

    /// A disk that fills up in the middle of a batch, and has room again.
    #[test]
    fn after_a_broken_off_write_the_chain_goes_on_from_what_got_in() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.jsonl");
        let (sink, chain) = Sink::open(&path, Duration::MAX).expect("opens");
        let counts = Arc::new(Counts::new(&Metrics::new()));
        let mut writer = Writer::new(sink, chain, counts.clone());
        writer.write_batch(&mut vec![entry(), entry()]);

        // Of three records, one gets in, and half of the second.
        let (mut bytes, mut chain) = (Vec::new(), writer.chain.clone());
        let mut ends = Vec::new();
        for _ in 0..3 {
            let (notes, record) = (Notes::default(), entry().record);
            append(&mut bytes, &mut chain, "h:1", Utc::now(), notes, &record).expect("serialises");
            ends.push(bytes.len());
        }
        let cut = (ends[0] + ends[1]) / 2;
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(&bytes[..cut]))
            .expect("written");
        counts.lose(3, &AuditError::Full);
        writer.state = State::Unknown;

        writer.write_batch(&mut vec![entry()]);
        let report = verify(&[path]).expect("read");
        assert_eq!((report.broken, report.records), (None, 4));
        let notes = report.notes.join("\n");
        assert!(notes.contains("2 records before this one"), "{notes}");
        let torn = format!("{} bytes of it remain", cut - ends[0] + 1);
        assert!(notes.contains(&torn), "{notes}");
        assert_eq!(counts.lost.load(Ordering::Relaxed), 0);
    }
}
