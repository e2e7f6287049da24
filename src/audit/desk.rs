//! Who writes: the writer's thread, or, while the disk is quick, whoever waits for
//! a line. Waking the thread and being woken by it costs several times as much as
//! writing the line.
//!
//! Only the holder of the desk takes records from the queue, so that the log has
//! them in the order in which they came, whoever writes them.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::Record;
use super::options::Segments;
use super::queue::{Receiver, Sender};
use super::seal::{Sealed, Stop};
use super::writer::Writer;

/// Two writes in a row that take longer show a disk that blocks. For [`A_WHILE`]
/// only the thread writes then, which holds up nobody.
///
/// One slow write may have waited for a processor: on a busy machine some writer is
/// always interrupted in the middle, and leaving all writes to the thread for that
/// would make the machine busier still.
const SLOW: Duration = Duration::from_millis(2);
/// One write that takes longer is enough: no wait for a processor is so long.
const BLOCKED: Duration = Duration::from_millis(100);
const A_WHILE: Duration = Duration::from_secs(10);

pub(super) struct Desk {
    state: Mutex<State>,
    /// Whether anybody but the thread may write.
    shared: bool,
    stop: Stop,
}

struct State {
    /// `None` once the log is closed.
    writer: Option<Writer>,
    disk: Disk,
}

/// What the time of recent writes says about the disk.
#[derive(Default)]
struct Disk {
    /// Whether the last write was slow.
    slow: bool,
    /// Only the thread writes until then.
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
            stop: Stop::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What the thread does until the log is closed, or the last handle is gone.
    pub fn run(&self, records: Receiver) {
        while records.wait() {
            if let Some(writer) = &mut self.state().writer {
                writer.write(|batch| records.take(batch));
            }
        }
        let writer = self.state().writer.take();
        self.stop.stop();
        if let Some(writer) = writer {
            writer.finish();
        }
        // Tells those who wait for the log to be closed; the file's lock is free by
        // now.
        drop(records);
    }

    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// How many records nothing has signed yet.
    pub fn unsealed(&self) -> u64 {
        self.state().writer.as_ref().map_or(0, Writer::unsealed)
    }

    /// Closes the file if it is full; see [`Writer::close_full`].
    pub fn close_full(&self, limits: &Segments) -> bool {
        let mut state = self.state();
        state.writer.as_mut().is_some_and(|w| w.close_full(limits))
    }

    /// Writes a record of the log itself; see [`Writer::tell`].
    pub fn tell(&self, record: Record) -> bool {
        let mut state = self.state();
        state.writer.as_mut().is_some_and(|w| w.tell(record))
    }

    /// Signs what is in the log; see [`Writer::seal`].
    pub fn seal(&self, anyway: bool) -> Option<Sealed> {
        self.state().writer.as_mut()?.seal(false, anyway)
    }

    /// Writes what is queued, on the caller's thread, unless only the writer's thread
    /// may.
    pub fn write_here(&self, queue: &Sender) {
        if !self.shared {
            return;
        }
        // Somebody else writes at this moment, with or without the caller's record:
        // `Sender::hurry` takes care of it.
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
        // Only the thread looks whether the log was rotated.
        if writer.does_more() {
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
