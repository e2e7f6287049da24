//! Records on their way to the writer.
//!
//! Waking a thread costs more than writing a record. A record that somebody waits
//! for wakes the writer's thread at once. The others are written together with the
//! next one that somebody waits for, or after [`LINGER`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::counts::Entry;
use super::log::AuditError;

#[cfg(test)]
mod tests;

/// How many records may wait for the writer: seconds of a busy proxy, and a few
/// megabytes.
pub(super) const ROOM: usize = 8192;

/// The most records in one write: the first of them waits for the last.
const BATCH: usize = 512;

/// How long a record that nobody waits for may wait to be written with others.
/// Twice that where sessions write as well as the thread.
const LINGER: Duration = Duration::from_millis(5);

/// The end that records are put in. Dropping the last clone closes the queue.
#[derive(Clone)]
pub(super) struct Sender(Arc<Handle>);

/// Closes the queue when it is dropped.
struct Handle(Arc<Shared>);

/// The end of the writer's thread.
pub(super) struct Receiver(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    woken: Condvar,
}

struct State {
    entries: VecDeque<Entry>,
    /// Whether somebody waits for one of the entries.
    urgent: bool,
    /// Whether the thread has something else to do than to write entries.
    called: bool,
    /// How often entries were taken, by the thread or by a session.
    taken: u64,
    open: bool,
    thread: Thread,
    /// Those who wait until the log is closed.
    closing: Vec<oneshot::Sender<()>>,
}

#[derive(PartialEq, Eq)]
enum Thread {
    /// It works, or was woken: it looks at the queue before it waits again.
    Awake,
    /// It waits until something is urgent, or `LINGER` has passed.
    Dozing,
    /// It waits until there is an entry.
    Asleep,
    /// It has ended, for whatever reason.
    Gone,
}

/// An empty queue, open.
pub(super) fn queue() -> (Sender, Receiver) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            entries: VecDeque::new(),
            urgent: false,
            called: false,
            taken: 0,
            open: true,
            thread: Thread::Awake,
            closing: Vec::new(),
        }),
        woken: Condvar::new(),
    });
    (Sender(Arc::new(Handle(shared.clone()))), Receiver(shared))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn take(&self, batch: &mut Vec<Entry>) {
        let mut state = self.state();
        state.taken += 1;
        let n = state.entries.len().min(BATCH);
        batch.extend(state.entries.drain(..n));
        state.urgent = state.entries.iter().any(|e| e.done.is_some());
        if n == BATCH {
            state.entries.shrink_to(BATCH); // a burst leaves no memory behind
        }
    }

    /// Wakes the thread, after the lock is released: a thread that wakes while the
    /// lock is taken would have to wait again.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        if matches!(state.thread, Thread::Dozing | Thread::Asleep) {
            state.thread = Thread::Awake;
            drop(state);
            self.woken.notify_one();
        }
    }
}

impl Sender {
    /// Puts a record in, without waiting. A record that somebody waits for does not
    /// wake the thread before [`hurry`](Self::hurry) is called.
    ///
    /// # Errors
    /// [`AuditError::Full`] and [`AuditError::Closed`].
    pub fn send(&self, entry: Entry) -> Result<(), AuditError> {
        let shared = &self.0.0;
        let mut state = shared.state();
        if !state.open {
            return Err(AuditError::Closed);
        }
        if state.entries.len() >= ROOM {
            return Err(AuditError::Full);
        }
        let urgent = entry.done.is_some();
        state.urgent |= urgent;
        state.entries.push_back(entry);
        if !urgent && state.thread == Thread::Asleep {
            shared.wake(state);
        }
        Ok(())
    }

    /// Wakes the thread for the records that somebody waits for, unless they have
    /// been taken meanwhile.
    pub fn hurry(&self) {
        let state = self.0.0.state();
        if state.urgent {
            self.0.0.wake(state);
        }
    }

    /// Wakes the thread, whether there are records or not.
    pub fn call(&self) {
        let mut state = self.0.0.state();
        state.called = true;
        self.0.0.wake(state);
    }

    /// Removes the records for which somebody waited who has given up. Returns their number.
    pub fn forget(&self) -> u64 {
        let mut state = self.0.0.state();
        let before = state.entries.len();
        let gone = |e: &Entry| e.done.as_ref().is_some_and(|done| done.is_closed());
        state.entries.retain(|e| !gone(e));
        (before - state.entries.len()) as u64
    }

    /// When the first of the records that wait was put in.
    pub fn oldest(&self) -> Option<DateTime<Utc>> {
        self.0.0.state().entries.front().map(|entry| entry.time)
    }

    /// Moves entries to `batch`, as [`Receiver::take`] does.
    pub fn take(&self, batch: &mut Vec<Entry>) {
        self.0.0.take(batch);
    }

    /// Closes the queue. Resolves when all that was in it is written and the log is
    /// closed.
    pub async fn close(self) {
        let (closed, done) = oneshot::channel();
        {
            let shared = &self.0.0;
            let mut state = shared.state();
            state.open = false;
            if state.thread == Thread::Gone {
                return;
            }
            state.closing.push(closed);
            shared.wake(state);
        }
        let _ = done.await; // the sender is used before it is dropped
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open = false;
        self.0.wake(state);
    }
}

impl Receiver {
    /// Waits for records, or a [`call`](Sender::call). `false`: there are none, and the queue is
    /// closed.
    pub fn wait(&self) -> bool {
        let mut state = self.0.state();
        let mut until = Instant::now() + LINGER;
        let mut taken = state.taken;
        while state.open && !state.urgent && !state.called {
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                state.thread = Thread::Dozing;
                self.0.woken.wait_for(&mut state, left);
            } else if taken != state.taken {
                // Sessions write: what is here came after the last of them, and
                // the next is likely to take it. Whoever sleeps has to be woken.
                until = Instant::now() + LINGER;
                taken = state.taken;
            } else if state.entries.is_empty() {
                state.thread = Thread::Asleep;
                self.0.woken.wait(&mut state);
            } else {
                break;
            }
        }
        state.thread = Thread::Awake;
        state.called = false;
        state.open || !state.entries.is_empty()
    }

    /// Whether nothing more comes.
    pub fn is_closed(&self) -> bool {
        !self.0.state().open
    }

    /// Moves entries to `batch`, at most as many as one write has.
    pub fn take(&self, batch: &mut Vec<Entry>) {
        self.0.take(batch);
    }
}

impl Drop for Receiver {
    /// The thread has ended: nobody takes records any more.
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open = false;
        state.thread = Thread::Gone;
        state.entries.clear();
        for done in state.closing.drain(..) {
            let _ = done.send(()); // the receiver may be gone
        }
    }
}
