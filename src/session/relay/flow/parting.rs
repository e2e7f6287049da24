//! Letting go of a server that waits for a client that has left.
//!
//! What a client sent before its goodbye is done. A server that has skipped an extended batch
//! after an error waits for a Sync, and one that takes COPY data waits for their end; where the
//! accounts do not tell so (docs/ISOLATION.md), nothing would ever end that wait.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::session::relay::{Awaits, Leaving, Relay};
use crate::wire::message;

/// Says Terminate to a server that has been silent for a while. Whatever the server is doing it
/// finishes first, and then closes the connection: the message ends the skipping of a batch
/// (`SocketBackend`, postgres.c). Where it is read as a wrong message among COPY data, a second
/// one follows.
pub(in crate::session::relay) struct Parting {
    /// What had been sent and answered when the wait began.
    progress: u64,
    due: Pin<Box<Sleep>>,
    said: bool,
}

impl Parting {
    /// The silence after which the server is told.
    const SILENCE: Duration = Duration::from_secs(1);
    /// The same while messages of the client are held back that depend on an answer: those are
    /// not done any more afterwards.
    const HELD_BACK: Duration = Duration::from_secs(60);

    fn new(progress: u64, silence: Duration) -> Self {
        Self {
            progress,
            due: Box::pin(sleep(silence)),
            said: false,
        }
    }
}

impl Relay {
    /// Whether there is a Terminate to be written to the server of a client that has left.
    pub(super) fn parts(&mut self, cx: &mut Context<'_>) -> bool {
        if self.leaving == Leaving::No || self.lease.is_none() || !self.to_server.is_empty() {
            return false;
        }
        let progress = self.conversation.progress();
        let silence = match self.awaits {
            Awaits::Answers => Parting::HELD_BACK,
            _ => Parting::SILENCE,
        };
        let parting = match &mut self.parting {
            Some(parting) if parting.said || parting.progress == progress => parting,
            parting => parting.insert(Box::new(Parting::new(progress, silence))),
        };
        if parting.said || parting.due.as_mut().poll(cx).is_pending() {
            return false;
        }
        parting.said = true;
        let out = self.to_server.buffer();
        message::terminate(out);
        message::terminate(out);
        true
    }

    /// The server was told that its client has left: that it closes the connection is no fault.
    pub(super) fn has_parted(&self) -> bool {
        self.parting.as_ref().is_some_and(|parting| parting.said)
    }
}
