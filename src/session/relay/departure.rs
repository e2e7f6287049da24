//! A client that leaves: by a goodbye, by closing its side of the connection, or for another
//! process. What it has said is done nevertheless, as by Postgres.

mod parting;
mod probe;

use std::task::Context;

use super::Relay;
use crate::wire::message;
use parting::Parting;
use probe::Probe;

/// Whether the client leaves, and how its server learns of it.
#[derive(Default)]
pub(super) struct Departure {
    leaving: Leaving,
    /// Boxed, because it is rare.
    parting: Option<Box<Parting>>,
}

/// Whether the client will say anything more.
#[derive(Default)]
enum Leaving {
    #[default]
    No,
    /// The client has closed its side, and may still read what it is answered. With a probe, it
    /// is asked whether it is there.
    Silent(Option<Probe>),
    /// The client has said goodbye, and reads nothing.
    Goodbye,
    /// The session goes on in another process.
    Moved,
}

impl Departure {
    /// Notes that the client has closed its side of the connection. `probed`: pgvalet finds out
    /// whether it is still there.
    pub fn closes_its_side(&mut self, probed: bool) {
        self.leaving = Leaving::Silent(probed.then(Probe::new));
    }

    pub fn says_goodbye(&mut self) {
        self.leaving = Leaving::Goodbye;
    }

    pub fn moves_away(&mut self) {
        self.leaving = Leaving::Moved;
    }

    /// Whether the client says nothing more here.
    pub fn is_leaving(&self) -> bool {
        !matches!(self.leaving, Leaving::No)
    }

    pub fn has_said_goodbye(&self) -> bool {
        matches!(self.leaving, Leaving::Goodbye)
    }

    pub fn has_moved(&self) -> bool {
        matches!(self.leaving, Leaving::Moved)
    }

    /// Whether a client that has closed its side is to be written to, which shows whether it is
    /// still there.
    fn probes(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.leaving {
            Leaving::Silent(Some(probe)) => probe.is_due(cx),
            _ => false,
        }
    }

    /// Whether the server is to be told that its client has left. `progress`: what was sent and
    /// answered so far; `held_back`: messages of the client depend on an answer.
    fn parts(&mut self, cx: &mut Context<'_>, progress: u64, held_back: bool) -> bool {
        let parting = match &mut self.parting {
            Some(parting) if parting.holds(progress) => parting,
            parting => parting.insert(Box::new(Parting::new(progress, held_back))),
        };
        parting.is_due(cx)
    }

    /// Whether the server was told that its client has left: that it closes the connection is no
    /// fault then.
    pub fn has_parted(&self) -> bool {
        self.parting.as_deref().is_some_and(Parting::is_said)
    }
}

impl Relay {
    /// Probes a client that has closed its side: it may be gone altogether, with a query of its
    /// own running on, and only a write shows that. `true`: there is something to write.
    pub(super) fn probes(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.departure.probes(cx) || !self.conversation.from_server.is_at_boundary() {
            return false;
        }
        // A ParameterStatus may come at any time, and this one tells nothing new.
        self.expected.told().write_one(self.client.buffer());
        true
    }

    /// Says Terminate to the server of a client that has left, if the server has been silent for
    /// a while. `true`: there is something to write.
    ///
    /// Whatever the server is doing it finishes first, and then closes the connection: the
    /// message ends the skipping of a batch (`SocketBackend`, postgres.c). Where it is read as a
    /// wrong message among COPY data, a second one follows.
    pub(super) fn parts(&mut self, cx: &mut Context<'_>) -> bool {
        let waits =
            self.departure.is_leaving() && self.holding.has_lease() && self.server.is_written();
        if !waits {
            return false;
        }
        let progress = self.conversation.progress();
        let held_back = self.client.awaits_answers();
        if !self.departure.parts(cx, progress, held_back) {
            return false;
        }
        let out = self.server.buffer();
        message::terminate(out);
        message::terminate(out);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_stays_costs_little_memory() {
        assert!(size_of::<Departure>() <= 3 * size_of::<usize>());
    }
}
