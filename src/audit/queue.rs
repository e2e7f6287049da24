//! Records on their way to the writer's thread.
//!
//! To wake a thread costs more than to write a record. One that somebody waits
//! for wakes the writer at once; the others are taken along by the next of
//! those, and by themselves after [`LINGER`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::log::{AuditError, Entry};

/// Records that may wait for the writer: seconds of a busy proxy, and few
/// megabytes.
pub(super) const ROOM: usize = 8192;

/// Records in one write at most: the first of them waits for the last.
const BATCH: usize = 512;

/// How long a record that nobody waits for may wait for company; twice that where
/// others than the thread write.
const LINGER: Duration = Duration::from_millis(5);

/// The end that records are put in; the queue is closed when the last one goes.
#[derive(Clone)]
pub(super) struct Sender(Arc<Handle>);

struct Handle(Arc<Shared>);

/// The writer's end.
pub(super) struct Receiver(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    entries: VecDeque<Entry>,
    /// Somebody waits for one of them.
    urgent: bool,
    /// How often some were taken, by whomever.
    taken: u64,
    open: bool,
    writer: Writer,
    closing: Vec<oneshot::Sender<()>>,
}

#[derive(PartialEq, Eq)]
enum Writer {
    /// At work, or told to be: it looks at the queue before it rests.
    Awake,
    /// Until something is urgent, or `LINGER` has passed.
    Dozing,
    /// Until there is something.
    Asleep,
    /// At its end, whatever that was.
    Gone,
}

pub(super) fn queue() -> (Sender, Receiver) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            entries: VecDeque::new(),
            urgent: false,
            taken: 0,
            open: true,
            writer: Writer::Awake,
            closing: Vec::new(),
        }),
        wake: Condvar::new(),
    });
    (Sender(Arc::new(Handle(shared.clone()))), Receiver(shared))
}

impl Shared {
    /// Nothing under this lock panics.
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

    /// After the lock: a thread that is woken to find it taken sleeps again.
    fn rouse(&self, mut state: MutexGuard<'_, State>) {
        if matches!(state.writer, Writer::Dozing | Writer::Asleep) {
            state.writer = Writer::Awake;
            drop(state);
            self.wake.notify_one();
        }
    }
}

impl Sender {
    /// Never waits. Of a record that somebody waits for the writer hears only by
    /// [`hurry`](Self::hurry).
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
        if !urgent && state.writer == Writer::Asleep {
            shared.rouse(state);
        }
        Ok(())
    }

    /// Wakes the writer for the records that somebody waits for, unless they
    /// are written by now.
    pub fn hurry(&self) {
        let state = self.0.0.state();
        if state.urgent {
            self.0.0.rouse(state);
        }
    }

    /// As [`Receiver::take`].
    pub fn take(&self, batch: &mut Vec<Entry>) {
        self.0.0.take(batch);
    }

    /// Lets no more in; resolves when all is written and the log closed.
    pub async fn close(self) {
        let (closed, done) = oneshot::channel();
        {
            let shared = &self.0.0;
            let mut state = shared.state();
            state.open = false;
            if state.writer == Writer::Gone {
                return;
            }
            state.closing.push(closed);
            shared.rouse(state);
        }
        let _ = done.await; // its sender is not dropped before it was used
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open = false;
        self.0.rouse(state);
    }
}

impl Receiver {
    /// Waits for records. `false`: there are none, and will be none.
    pub fn wait(&self) -> bool {
        let mut state = self.0.state();
        let mut until = Instant::now() + LINGER;
        let mut taken = state.taken;
        while state.open && !state.urgent {
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                state.writer = Writer::Dozing;
                self.0.wake.wait_for(&mut state, left);
            } else if taken != state.taken {
                // Others write: what there is now came after that, and the next
                // of them is likely to take it. To sleep would mean to be woken.
                until = Instant::now() + LINGER;
                taken = state.taken;
            } else if state.entries.is_empty() {
                state.writer = Writer::Asleep;
                self.0.wake.wait(&mut state);
            } else {
                break;
            }
        }
        state.writer = Writer::Awake;
        state.open || !state.entries.is_empty()
    }

    /// Moves what there is to `batch`, as much as makes one write.
    pub fn take(&self, batch: &mut Vec<Entry>) {
        self.0.take(batch);
    }
}

impl Drop for Receiver {
    /// Nobody takes records any more.
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open = false;
        state.writer = Writer::Gone;
        state.entries.clear();
        for done in state.closing.drain(..) {
            let _ = done.send(()); // whoever asked may have left
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Event, Record};

    fn entry(done: Option<oneshot::Sender<Result<(), AuditError>>>) -> Entry {
        Entry {
            time: chrono::Utc::now(),
            record: Record::new(Event::Reload).into(),
            done,
        }
    }

    #[test]
    fn what_nobody_waits_for_is_taken_with_the_next_that_somebody_does() {
        let (sender, receiver) = queue();
        let taken = std::thread::spawn(move || {
            let mut sizes = Vec::new();
            let mut batch = Vec::new();
            while receiver.wait() {
                receiver.take(&mut batch);
                sizes.push(batch.len());
                for done in batch.drain(..).filter_map(|e: Entry| e.done) {
                    let _ = done.send(Ok(()));
                }
            }
            sizes.iter().sum::<usize>()
        });
        for _ in 0..100 {
            sender.send(entry(None)).expect("room");
            let (done, written) = oneshot::channel();
            sender.send(entry(Some(done))).expect("room");
            sender.hurry();
            written.blocking_recv().expect("taken").expect("written");
        }
        sender.send(entry(None)).expect("room");
        drop(sender);
        assert_eq!(taken.join().expect("no panic"), 201);
    }

    #[test]
    fn a_record_that_nobody_waits_for_does_not_wait_for_ever() {
        let (sender, receiver) = queue();
        let mut batch = Vec::new();
        sender.send(entry(None)).expect("room");
        assert!(receiver.wait());
        receiver.take(&mut batch);
        let later = std::thread::spawn(move || {
            let mut batch = Vec::new();
            let any = receiver.wait();
            receiver.take(&mut batch);
            (any, batch.len())
        });
        // By now it dozes or sleeps: either way it has to hear of this.
        std::thread::sleep(LINGER * 4);
        sender.send(entry(None)).expect("room");
        assert_eq!(later.join().expect("no panic"), (true, 1));
    }

    /// It is not roused for a record that others are likely to take; when they do
    /// not, it does so itself.
    #[test]
    fn what_others_leave_is_taken_by_the_thread() {
        let (sender, receiver) = queue();
        let thread = std::thread::spawn(move || {
            let mut batch = Vec::new();
            while receiver.wait() {
                receiver.take(&mut batch);
            }
            batch.len()
        });
        let mut here = Vec::new();
        let until = Instant::now() + LINGER * 3;
        while Instant::now() < until {
            sender.send(entry(None)).expect("room");
            sender.take(&mut here);
        }
        sender.send(entry(None)).expect("room");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !sender.0.0.state().entries.is_empty() {
            assert!(Instant::now() < deadline, "nobody takes it");
            std::thread::sleep(LINGER);
        }
        drop(sender);
        assert!(thread.join().expect("no panic") >= 1);
    }

    #[test]
    fn there_is_room_for_so_many_and_none_once_closed() {
        let (sender, receiver) = queue();
        for _ in 0..ROOM {
            sender.send(entry(None)).expect("room");
        }
        assert!(matches!(sender.send(entry(None)), Err(AuditError::Full)));
        drop(receiver);
        assert!(matches!(sender.send(entry(None)), Err(AuditError::Closed)));
    }

    #[tokio::test]
    async fn whoever_closes_hears_of_it_once_all_is_taken_also_twice() {
        let (sender, receiver) = queue();
        sender.send(entry(None)).expect("room");
        let writer = std::thread::spawn(move || {
            let (mut batch, mut taken) = (Vec::new(), 0);
            while receiver.wait() {
                receiver.take(&mut batch);
                taken += batch.drain(..).count();
            }
            taken
        });
        sender.clone().close().await;
        sender.close().await;
        assert_eq!(writer.join().expect("no panic"), 1);
    }
}
