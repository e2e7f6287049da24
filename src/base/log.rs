//! The queue between the log and standard error.
//!
//! Logging never waits: not for a terminal that is stopped, nor for a pipe whose
//! reader is slow or gone. Lines go into a bounded queue, and a thread writes them. Lines
//! that find no room are counted.
//!
//! It is written here because `tracing-appender`, which does the same, bounds the number of
//! lines but not their bytes, and leaves no line where lines are missing.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait.
const LINES: usize = 8192;
/// How many bytes may wait.
const BYTES: usize = 1 << 20;
/// The longest line in bytes; a longer one is cut, because nobody reads it.
const LINE: usize = 16 * 1024;

/// The queue of this process: there is one standard error.
static QUEUE: Queue = Queue::new();

/// How many lines found no room since the start.
pub fn dropped() -> u64 {
    QUEUE.dropped.load(Ordering::Relaxed)
}

/// Starts the thread that writes, once.
///
/// # Errors
/// The system cannot start a thread.
pub fn start() -> io::Result<()> {
    QUEUE.start(|| io::stderr().lock())
}

/// Waits until everything is written, for at most `limit`; starts the thread if nobody
/// has yet.
pub fn flush(limit: Duration) {
    if start().is_ok() {
        QUEUE.flush(limit);
    }
}

/// Puts one line into the queue, as it is.
pub fn line(text: &str) {
    QUEUE.put(format!("{text}\n").as_bytes());
}

/// Writes events into the queue.
#[derive(Debug, Clone, Copy)]
pub struct ToLog;

impl MakeWriter<'_> for ToLog {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Vec::new())
    }
}

/// The line of an event, which goes into the queue when it is dropped.
pub struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        QUEUE.put(&self.0);
    }
}

struct Queue {
    state: Mutex<State>,
    /// Wakes the writer: there is a line.
    filled: Condvar,
    /// Wakes those who flush: everything is written.
    emptied: Condvar,
    dropped: AtomicU64,
}

struct State {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// How many of the dropped lines have been reported.
    reported: u64,
    started: bool,
    /// The writer has taken a line and not written it yet.
    writing: bool,
}

impl Queue {
    const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                lines: VecDeque::new(),
                bytes: 0,
                reported: 0,
                started: false,
                writing: false,
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn put(&self, line: &[u8]) {
        let mut state = self.state();
        if line.is_empty() {
            return;
        }
        let short = line.get(..LINE).unwrap_or(line);
        if state.lines.len() >= LINES || state.bytes + short.len() > BYTES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut kept = short.to_vec();
        if short.len() < line.len() {
            kept.extend_from_slice("…\n".as_bytes());
        }
        state.bytes += kept.len();
        state.lines.push_back(kept.into());
        let first = state.lines.len() == 1;
        drop(state);
        if first {
            self.filled.notify_one();
        }
    }

    fn start<W: Write + 'static>(&'static self, out: fn() -> W) -> io::Result<()> {
        let mut state = self.state();
        if state.started {
            return Ok(());
        }
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || self.run(out))?;
        state.started = true;
        Ok(())
    }

    fn run<W: Write>(&self, out: fn() -> W) {
        loop {
            let line = {
                let mut state = self.state();
                state.writing = false;
                while state.lines.is_empty() {
                    self.emptied.notify_all();
                    self.filled.wait(&mut state);
                }
                state.writing = true;
                let line = state.lines.pop_front().unwrap_or_default();
                state.bytes -= line.len();
                line
            };
            // If nobody can read the log, nobody can be told either.
            let _ = out().write_all(&line);
            self.report_dropped();
        }
    }

    /// Logs how many lines are missing, in the place where they are missing.
    fn report_dropped(&self) {
        let missing = {
            let mut state = self.state();
            let dropped = self.dropped.load(Ordering::Relaxed);
            // In a fuller queue the report might be dropped as well.
            if dropped == state.reported || state.lines.len() * 2 > LINES || state.bytes * 2 > BYTES
            {
                return;
            }
            dropped - std::mem::replace(&mut state.reported, dropped)
        };
        tracing::warn!("{missing} lines of this log were dropped: its reader is too slow");
    }

    fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut state = self.state();
        while state.writing || !state.lines.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.emptied.wait_for(&mut state, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A writer that is stuck until the test lets go of it.
    static STUCK: Mutex<()> = Mutex::new(());
    static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _until_free = STUCK.lock();
            WRITTEN.lock().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_writer_that_is_stuck() {
        static QUEUE: Queue = Queue::new();
        QUEUE.start(|| Stuck).expect("a thread");
        QUEUE.start(|| Stuck).expect("the same one");
        let stuck = STUCK.lock();
        let (done, all_put) = mpsc::channel();
        std::thread::spawn(move || {
            for n in 0..LINES * 2 {
                QUEUE.put(format!("line {n}\n").as_bytes());
            }
            QUEUE.put(&[b'x'; LINE * 2]);
            done.send(()).expect("somebody waits");
        });
        all_put
            .recv_timeout(Duration::from_secs(30))
            .expect("put without waiting");
        let dropped = QUEUE.dropped.load(Ordering::Relaxed);
        assert!(dropped >= LINES as u64, "{dropped}");
        // Flushing ends as well.
        QUEUE.flush(Duration::from_millis(1));
        drop(stuck);
        QUEUE.flush(Duration::from_secs(30));
        let text = WRITTEN.lock().clone();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().count() as u64;
        assert_eq!(lines, LINES as u64 * 2 + 1 - dropped);
        assert!(text.starts_with("line 0\nline 1\n"));
        assert_eq!(QUEUE.state().reported, dropped);
    }

    #[test]
    fn a_line_and_all_of_them_together_have_an_end() {
        static QUEUE: Queue = Queue::new();
        for _ in 0..1000 {
            QUEUE.put(&[b'x'; LINE * 2]);
        }
        let state = QUEUE.state();
        assert!(state.bytes <= BYTES + LINE && state.lines.len() >= BYTES / LINE - 1);
        assert!(state.lines[0].ends_with("…\n".as_bytes()));
    }
}
