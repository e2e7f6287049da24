//! The sinks of a log: which there are, how far each is, and their end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::runtime::Runtime;

use super::cursor::Cursor;
use super::options::SinkOptions;
use super::shipping::Shipping;
use super::standing::{SinkTrouble, Standing};
use super::target::of;
use crate::audit::log::AuditError;
use crate::audit::metrics::{SINK_FAILURES, SINK_LAG, SINK_RECORDS};
use crate::metrics::{Counter, Gauge, Metrics};

/// How long sinks may take to get what is left when the log is closed.
const GOODBYE: Duration = Duration::from_secs(3);

/// The sinks of a log.
#[derive(Default)]
pub struct Sinks {
    threads: Mutex<Vec<JoinHandle<()>>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
pub(super) struct Shared {
    /// The number of the last record that each sink has taken.
    pub(super) taken: Vec<AtomicU64>,
    pub(super) closing: AtomicBool,
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
    standing: Arc<Standing>,
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
                standing: Arc::default(),
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

    /// The sinks that do not take what they should have by now.
    pub fn troubles(&self) -> Vec<SinkTrouble> {
        let all = self.0.iter();
        all.filter_map(|planned| planned.standing.trouble(&planned.options.name))
            .collect()
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
        standing,
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
            standing: standing.clone(),
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

impl Shared {
    pub(super) fn wait(&self, time: Duration) {
        let mut lock = self.lock.lock();
        if !self.closing.load(Relaxed) {
            self.woken.wait_for(&mut lock, time);
        }
    }
}
