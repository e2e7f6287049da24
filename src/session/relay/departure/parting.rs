//! Letting go of a server that waits for a client that has left.
//!
//! What a client sent before its goodbye is done. A server that has skipped an extended batch
//! after an error waits for a Sync, and one that takes COPY data waits for their end; where the
//! accounts do not tell so (docs/ISOLATION.md), nothing would ever end that wait.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// A server that has been silent for a while is told that its client has left.
pub(super) struct Parting {
    /// What had been sent and answered when the wait began.
    progress: u64,
    due: Pin<Box<Sleep>>,
    said: bool,
}

impl Parting {
    /// The silence after which the server is told.
    const SILENCE: Duration = Duration::from_secs(1);
    /// The silence after which it is told while messages of the client are held back that depend
    /// on an answer: those are not done any more afterwards.
    const HELD_BACK: Duration = Duration::from_secs(60);

    /// `held_back`: messages of the client depend on an answer.
    pub fn new(progress: u64, held_back: bool) -> Self {
        let silence = match held_back {
            true => Self::HELD_BACK,
            false => Self::SILENCE,
        };
        Self {
            progress,
            due: Box::pin(sleep(silence)),
            said: false,
        }
    }

    /// Whether this wait still holds: the server was silent since, or was told already.
    pub fn holds(&self, progress: u64) -> bool {
        self.said || self.progress == progress
    }

    /// Whether the server is to be told now. It counts as told then.
    pub fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        if self.said || self.due.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.said = true;
        true
    }

    pub fn is_said(&self) -> bool {
        self.said
    }
}
