//! Who writes: the writer's thread, or, where that is quick, whoever waits for a
//! line. To wake a thread for it, and to be woken by it, costs several times
//! what the line itself does.
//!
//! Records are taken from the queue by who holds the desk, so that they are in
//! the log in the order in which they came, whoever writes them.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::queue::{Receiver, Sender};
use super::writer::Writer;

/// Writes that take longer show a disk that blocks: for a while then only the
/// thread writes, which holds nobody up.
///
/// Two in a row, because one may be slow for want of a processor: on a busy
/// machine somebody is always interrupted in the middle of a write, and to leave
/// all others to the thread for that makes it busier still.
const SLOW: Duration = Duration::from_millis(2);
/// Longer than any wait for a processor: once is enough.
const BLOCKED: Duration = Duration::from_millis(100);
const A_WHILE: Duration = Duration::from_secs(10);

pub(super) struct Desk {
    state: Mutex<State>,
    /// Whether others than the thread may write at all.
    shared: bool,
}

struct State {
    /// `None` once the log is closed.
    writer: Option<Writer>,
    disk: Disk,
}

/// How long writes took lately.
#[derive(Default)]
struct Disk {
    /// The last one was slow.
    slow: bool,
    /// The thread has it to itself until then.
    blocks_until: Option<Instant>,
}

impl Disk {
    fn blocks(&self, now: Instant) -> bool {
        self.blocks_until.is_some_and(|until| now < until)
    }

    fn took(&mut self, time: Duration, now: Instant) {
        let before = std::mem::replace(&mut self.slow, time > SLOW);
        let blocks = time > BLOCKED || (self.slow && before);
        self.blocks_until = blocks.then(|| now + A_WHILE);
    }
}

impl Desk {
    pub fn new(writer: Writer, shared: bool) -> Self {
        Self {
            state: Mutex::new(State {
                writer: Some(writer),
                disk: Disk::default(),
            }),
            shared,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The thread: until the log is closed, or the last handle is gone.
    pub fn run(&self, records: Receiver) {
        while records.wait() {
            if let Some(writer) = &mut self.state().writer {
                writer.write(|batch| records.take(batch));
            }
        }
        let writer = self.state().writer.take();
        if let Some(writer) = writer {
            writer.finish();
        }
        // The file's lock is free before anybody hears of it.
        drop(records);
    }

    /// Writes what is queued, here and now, unless the thread has to.
    pub fn write_here(&self, queue: &Sender) {
        if !self.shared {
            return;
        }
        // Where somebody else writes, that writer may have seen this record or not.
        let Some(mut state) = self.state.try_lock() else {
            return;
        };
        let began = Instant::now();
        if state.disk.blocks(began) {
            return;
        }
        let Some(writer) = &mut state.writer else {
            return;
        };
        // To see whether the log was rotated is the thread's.
        if writer.looks() {
            return;
        }
        writer.write(|batch| queue.take(batch));
        let now = Instant::now();
        state.disk.took(now - began, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_blocks_is_left_to_the_thread_and_a_single_slow_write_is_not() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let blocks = |times: &[u64]| {
            let mut disk = Disk::default();
            for time in times {
                disk.took(ms(*time), now);
            }
            disk.blocks(now + A_WHILE / 2)
        };
        assert!(!blocks(&[0, 3, 0, 3, 0]));
        assert!(!blocks(&[50]));
        assert!(blocks(&[0, 3, 3]));
        assert!(blocks(&[101]));
        let mut disk = Disk::default();
        disk.took(ms(101), now);
        assert!(disk.blocks(now + A_WHILE - ms(1)) && !disk.blocks(now + A_WHILE));
    }
}
