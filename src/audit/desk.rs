//! Who writes: the writer's thread, or, where that is quick, whoever waits for a
//! line. To wake a thread for it, and to be woken by it, costs several times
//! what the line itself does.
//!
//! Records are taken from the queue by who holds the desk, so that they are in
//! the log in the order in which they came, whoever writes them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use super::queue::{Receiver, Sender};
use super::writer::Writer;

/// A write that takes longer shows a disk that blocks: for a while then only
/// the thread writes, which holds nobody up.
const SLOW: Duration = Duration::from_millis(2);
const A_WHILE: Duration = Duration::from_secs(10);

pub(super) struct Desk {
    state: Mutex<State>,
    /// Whether others than the thread may write at all.
    shared: AtomicBool,
}

struct State {
    /// `None` once the log is closed.
    writer: Option<Writer>,
    slow_until: Option<Instant>,
}

impl Desk {
    pub fn new(writer: Writer, shared: bool) -> Self {
        Self {
            state: Mutex::new(State {
                writer: Some(writer),
                slow_until: None,
            }),
            shared: AtomicBool::new(shared),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The thread: until the log is closed, or the last handle is gone.
    pub fn run(&self, records: Receiver) {
        while records.wait() {
            if let Some(writer) = &mut self.state().writer {
                writer.write(|batch| records.take(batch));
            }
        }
        self.shared.store(false, Ordering::Relaxed);
        let writer = self.state().writer.take();
        if let Some(writer) = writer {
            writer.finish();
        }
        // The file's lock is free before anybody hears of it.
        drop(records);
    }

    /// Writes what is queued, here and now, unless the thread has to.
    pub fn write_here(&self, queue: &Sender) {
        if !self.shared.load(Ordering::Relaxed) {
            return;
        }
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            // Somebody writes, and may have seen this record or not.
            Err(TryLockError::WouldBlock) => return,
        };
        let began = Instant::now();
        if state.slow_until.is_some_and(|until| began < until) {
            return;
        }
        let Some(writer) = &mut state.writer else {
            return;
        };
        writer.write(|batch| queue.take(batch));
        let now = Instant::now();
        state.slow_until = (now - began > SLOW).then(|| now + A_WHILE);
    }
}
