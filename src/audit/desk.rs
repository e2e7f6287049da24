//! Who writes: the writer's thread, or, while the disk is quick, whoever waits for
//! a line. Waking the thread and being woken by it costs several times as much as
//! writing the line.
//!
//! Only the holder of the desk takes records from the queue, so that the log has
//! them in the order in which they came, whoever writes them.
//!
//! While pgvalet is upgraded, another process writes the log: this one passes its records
//! on (`handover`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::Record;
use super::counts::Entry;
use super::handover::{Opener, Outlet};
use super::log::AuditError;
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

/// How often a log is tried that another process has left.
const TRY: Duration = Duration::from_millis(500);

/// The same when this process ends.
const AT_THE_END: Duration = Duration::from_millis(20);

/// How long records wait for such a log when this process ends; less than the end of the process
/// waits for its log.
const LAST_TRIES: Duration = Duration::from_secs(3);

pub(super) struct Desk {
    state: Mutex<State>,
    /// Wakes the thread when somebody else writes from now on.
    changed: Condvar,
    pub(super) opener: Opener,
    stop: Stop,
}

struct State {
    pen: Pen,
    disk: Disk,
    /// Records that another process was given, and has perhaps not written.
    unsent: Vec<Entry>,
    /// Until then they wait for the log, once nothing more is recorded.
    until: Option<Instant>,
}

/// Who writes.
enum Pen {
    Here(Box<Writer>),
    /// Nobody: records wait. With `true` this process takes the log as soon as it can.
    Nobody(bool),
    /// Another process.
    There(Outlet),
    /// The log is closed.
    Closed,
}

impl Pen {
    fn here(&mut self) -> Option<&mut Writer> {
        match self {
            Self::Here(writer) => Some(writer),
            _ => None,
        }
    }
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
    /// Nobody writes yet.
    pub fn new(opener: Opener) -> Self {
        Self {
            state: Mutex::new(State {
                pen: Pen::Nobody(false),
                disk: Disk::default(),
                unsent: Vec::new(),
                until: None,
            }),
            changed: Condvar::new(),
            opener,
            stop: Stop::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What the thread does until the log is closed, or the last handle is gone.
    pub fn run(self: &Arc<Self>, records: Receiver) {
        while self.wants_log(&records) || records.wait() {
            let mut state = self.state();
            if let Some(writer) = state.pen.here() {
                writer.write(|batch| records.take(batch));
                continue;
            }
            self.pass_on(&mut state, &records);
        }
        let pen = std::mem::replace(&mut self.state().pen, Pen::Closed);
        self.stop.stop();
        if let Pen::Here(writer) = pen {
            writer.finish();
        }
        // Tells those who wait for the log to be closed; the file's lock is free by
        // now.
        drop(records);
    }

    /// Whether this process is to take the log, for the records that it has or for those to come.
    fn wants_log(&self, records: &Receiver) -> bool {
        let state = self.state();
        let tries = matches!(state.pen, Pen::Nobody(true));
        tries && !(state.unsent.is_empty() && records.is_closed())
    }

    /// What there is to do with records while this process does not write.
    fn pass_on(self: &Arc<Self>, state: &mut MutexGuard<'_, State>, records: &Receiver) {
        if let Pen::There(outlet) = &mut state.pen {
            let mut batch = Vec::new();
            records.take(&mut batch);
            match outlet.pass(batch) {
                Ok(()) => return,
                Err(back) => {
                    tracing::warn!(
                        "the process that writes the audit log ends; this one writes it again"
                    );
                    state.unsent = back;
                    state.pen = Pen::Nobody(true);
                }
            }
        }
        let mut wait = TRY;
        let mut failure = None;
        if matches!(state.pen, Pen::Nobody(true)) {
            match self.open_in(state) {
                Ok(()) => return,
                Err(error) => failure = Some(error),
            }
        }
        if records.is_closed() {
            // Nobody gives this process the log any more; it may only become free.
            let patience = match failure {
                Some(_) => LAST_TRIES,
                None => Duration::ZERO,
            };
            let now = Instant::now();
            let until = *state.until.get_or_insert(now + patience);
            if now >= until {
                self.lose(state, records, failure);
                return;
            }
            wait = AT_THE_END;
        }
        self.changed.wait_for(state, wait);
    }

    /// Gives up what was recorded.
    fn lose(&self, state: &mut State, records: &Receiver, failure: Option<AuditError>) {
        let mut lost = std::mem::take(&mut state.unsent);
        loop {
            let before = lost.len();
            records.take(&mut lost);
            if lost.len() == before {
                break;
            }
        }
        if !lost.is_empty() {
            self.opener.lose(lost.len(), failure);
        }
    }

    /// Opens the log, and writes from now on what has waited.
    ///
    /// # Errors
    /// As for [`Audit::open`](super::Audit::open).
    pub fn open(self: &Arc<Self>) -> Result<(), AuditError> {
        self.open_in(&mut self.state())?;
        self.changed.notify_all();
        Ok(())
    }

    fn open_in(self: &Arc<Self>, state: &mut State) -> Result<(), AuditError> {
        if matches!(state.pen, Pen::Here(_)) {
            return Ok(());
        }
        let mut writer = Box::new(self.opener.writer(self)?);
        // At once: somebody may wait for them, and no other record may come.
        let unsent = &mut state.unsent;
        self.opener.strike_written(unsent);
        if !unsent.is_empty() {
            writer.write(|batch| batch.append(unsent));
        }
        state.pen = Pen::Here(writer);
        Ok(())
    }

    /// Closes the log, so that another process can open it. Records wait.
    pub fn release(&self) {
        let pen = std::mem::replace(&mut self.state().pen, Pen::Nobody(false));
        if let Pen::Here(writer) = pen {
            writer.finish();
        }
        // Those of the other process go on where these stop.
        self.opener.close_sinks();
    }

    /// Passes no more records on; they wait. What is on its way is waited for.
    pub fn hold(&self) {
        let mut state = self.state();
        if matches!(state.pen, Pen::There(_)) {
            state.pen = Pen::Nobody(false);
        }
    }

    /// Takes the log as soon as that is possible.
    pub fn reclaim(&self) {
        let mut state = self.state();
        if matches!(state.pen, Pen::Nobody(_) | Pen::There(_)) {
            state.pen = Pen::Nobody(true);
        }
        self.changed.notify_all();
    }

    /// Passes records on to another process from now on.
    pub fn pass_to(&self, outlet: Outlet) {
        self.state().pen = Pen::There(outlet);
        self.changed.notify_all();
    }

    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// How many records nothing has signed yet.
    pub fn unsealed(&self) -> u64 {
        self.state()
            .pen
            .here()
            .map_or(0, |writer| writer.unsealed())
    }

    /// Closes the file if it is full; see [`Writer::close_full`].
    pub fn close_full(&self, limits: &Segments) -> bool {
        let mut state = self.state();
        state.pen.here().is_some_and(|w| w.close_full(limits))
    }

    /// Writes a record of the log itself; see [`Writer::tell`].
    pub fn tell(&self, record: Record) -> bool {
        let mut state = self.state();
        state.pen.here().is_some_and(|w| w.tell(record))
    }

    /// Signs what is in the log; see [`Writer::seal`].
    pub fn seal(&self, anyway: bool) -> Option<Sealed> {
        self.state().pen.here()?.seal(false, anyway)
    }

    /// Writes what is queued, on the caller's thread, unless only the writer's thread
    /// may.
    pub fn write_here(&self, queue: &Sender) {
        if !self.opener.shared() {
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
        let Some(writer) = state.pen.here() else {
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
