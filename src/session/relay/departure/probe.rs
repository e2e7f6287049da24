//! Finding out whether a client that has closed its side is still there.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Two writes to a client that has closed its side: if nobody is there the first is answered
/// by a reset, and the second one fails then.
pub(super) struct Probe {
    write: Write,
    due: Pin<Box<Sleep>>,
}

/// The write that is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    First,
    Second,
    /// Both were made.
    None,
}

impl Probe {
    /// The time before each write.
    const PAUSE: Duration = Duration::from_millis(50);

    pub fn new() -> Self {
        Self {
            write: Write::First,
            due: Box::pin(sleep(Self::PAUSE)),
        }
    }

    /// Whether the next write is to be made now. It counts as made then.
    pub fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        if self.write == Write::None || self.due.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.due = Box::pin(sleep(Self::PAUSE));
        self.write = match self.write {
            Write::First => {
                // Polled, so that it wakes the task.
                let _ = self.due.as_mut().poll(cx);
                Write::Second
            }
            Write::Second | Write::None => Write::None,
        };
        true
    }
}
