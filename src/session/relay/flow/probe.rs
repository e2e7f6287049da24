//! Finding out whether a client that has closed its side is still there.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::session::relay::{Leaving, Relay};

/// Two writes to a client that has closed its side: if nobody is there the first is answered
/// by a reset, and the second one fails then.
pub(in crate::session::relay) struct Probe {
    left: usize,
    next: Pin<Box<Sleep>>,
}

impl Probe {
    /// The time before each write.
    const PAUSE: Duration = Duration::from_millis(50);

    pub(super) fn new() -> Self {
        Self {
            left: 2,
            next: Box::pin(sleep(Self::PAUSE)),
        }
    }

    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        if self.left == 0 || self.next.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.left -= 1;
        self.next = Box::pin(sleep(Self::PAUSE));
        if self.left > 0 {
            // Polled, so that it wakes the task.
            let _ = self.next.as_mut().poll(cx);
        }
        true
    }
}

impl Relay {
    /// Probes a client that has closed its side: it may be gone altogether, with a query of its
    /// own running on, and only a write shows that. `true`: there is something to write.
    pub(super) fn probes(&mut self, cx: &mut Context<'_>) -> bool {
        let due = match &mut self.probe {
            Some(probe) if self.leaving == Leaving::Silent => probe.is_due(cx),
            _ => false,
        };
        if !due || !self.conversation.from_server.is_at_boundary() {
            return false;
        }
        // A ParameterStatus may come at any time, and this one tells nothing new.
        self.told.write_one(self.to_client.buffer());
        true
    }
}
