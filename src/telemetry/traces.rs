//! The spans that wait to be sent.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::sampler::Sampler;
use super::span::{Ids, Span};
use crate::metrics::{Counter, Family, Metrics};

const SENT: Family<Counter, 0> = Family::new(
    "pgvalet_otel_spans_sent_total",
    "Spans that the collector has taken.",
    [],
);

const DROPPED: Family<Counter, 0> = Family::new(
    "pgvalet_otel_spans_dropped_total",
    "Spans that were lost because the collector did not take them in time.",
    [],
);

/// Takes finished spans. Nobody who records one waits.
pub struct Traces {
    sampler: Sampler,
    waiting: Mutex<VecDeque<(Ids, Span)>>,
    /// The number of spans that may wait.
    room: usize,
    /// The number of spans that are sent at a time.
    batch: usize,
    /// There are enough for a batch.
    pub(super) full: Notify,
    sent: Counter,
    dropped: Counter,
}

impl Traces {
    pub(super) fn new(sampler: Sampler, room: usize, batch: usize, metrics: &Metrics) -> Self {
        Self {
            sampler,
            waiting: Mutex::default(),
            room,
            batch,
            full: Notify::new(),
            sent: metrics.series(&SENT, []),
            dropped: metrics.series(&DROPPED, []),
        }
    }

    /// Keeps a span to be sent. `make` is called only for a trace that is sampled. A span that
    /// finds no room is counted and lost.
    pub fn record(&self, make: impl FnOnce() -> Span) {
        let mut random = [0; 24];
        if aws_lc_rs::rand::fill(&mut random).is_err() {
            return;
        }
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        trace.copy_from_slice(&random[..16]);
        span.copy_from_slice(&random[16..]);
        if !self.sampler.keeps(trace) {
            return;
        }
        let made = make();
        let mut waiting = self.waiting.lock();
        if waiting.len() >= self.room {
            drop(waiting);
            return self.dropped.increment(1);
        }
        waiting.push_back((Ids { trace, span }, made));
        if waiting.len() >= self.batch {
            self.full.notify_one();
        }
    }

    /// The oldest spans that wait, as many as are sent at a time.
    pub(super) fn take(&self) -> Vec<(Ids, Span)> {
        let mut waiting = self.waiting.lock();
        let some = waiting.len().min(self.batch);
        waiting.drain(..some).collect()
    }

    pub(super) fn were_sent(&self, count: u64) {
        self.sent.increment(count);
    }

    pub(super) fn are_lost(&self, count: u64) {
        self.dropped.increment(count);
    }

    /// Counts what is left as lost: nothing more is sent.
    pub(super) fn give_up(&self) {
        let left = self.waiting.lock().drain(..).count();
        self.are_lost(left.try_into().unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::span::Kind;
    use super::*;

    fn span() -> Span {
        Span {
            name: "session".to_owned(),
            kind: Kind::Server,
            began: SystemTime::UNIX_EPOCH,
            ended: SystemTime::UNIX_EPOCH,
            attributes: Vec::new(),
            events: Vec::new(),
            failed: None,
        }
    }

    #[test]
    fn a_queue_that_is_full_takes_no_more_and_says_how_many_it_lost() {
        let metrics = Metrics::new();
        let traces = Traces::new(Sampler::Always, 5, 2, &metrics);
        for _ in 0..8 {
            traces.record(span);
        }
        assert_eq!(traces.take().len(), 2);
        traces.record(span);
        assert_eq!((0..4).map(|_| traces.take().len()).sum::<usize>(), 4);
        traces.record(span);
        traces.give_up();
        let text = metrics.render();
        assert!(
            text.contains("pgvalet_otel_spans_dropped_total 4\n"),
            "{text}"
        );
    }

    #[test]
    fn nothing_is_made_of_a_trace_that_is_not_sampled() {
        let traces = Traces::new(Sampler::Never, 5, 2, &Metrics::new());
        traces.record(|| unreachable!("it is not sampled"));
        assert!(traces.take().is_empty());
    }
}
