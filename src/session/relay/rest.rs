//! Coming to rest with a server connection: whether it goes back to the pool.

use std::mem;

use super::from_server::Certainty;
use super::replies::{Fencing, Reply};
use super::{Halt, Relay};
use crate::upstream::Fence;

impl Relay {
    /// Handles coming to rest with a lease: in transaction mode the connection goes back to
    /// the pool.
    pub(super) fn rest(&mut self) -> Result<(), Halt> {
        if self.conversation.from_server.fatal {
            return self.rest_without_server();
        }
        self.holding.comes_to_rest();
        let certainty = self.conversation.from_server.certainty;
        if certainty == Certainty::Doubtful && self.holding.may_change() {
            self.ask_fence();
            return Ok(());
        }
        if self.holding.is_by_session() {
            self.rest_in_session_mode();
            return Ok(());
        }
        let ask = mem::take(&mut self.conversation.from_client.watch.ask);
        self.holding.ask_if(ask);
        if certainty == Certainty::Fenced {
            self.conversation.from_server.certainty = Certainty::Certain;
            self.holding.ask_if(true);
            self.holding.forget_prepared();
        }
        let unknown = self.has_unknown_report();
        self.holding.ask_if(unknown);
        if self.holding.must_ask() || self.holding.pinned().is_some() {
            return Err(Halt::Settle);
        }
        let quiet = self.quiet();
        self.note_facts();
        if let Some(lease) = self.end()
            && let Some(quiet) = quiet
        {
            lease.check_in(quiet);
        }
        Ok(())
    }

    /// Handles coming to rest on a connection that the server is closing, or has closed. Where
    /// nothing of the client is there, that is not the client's concern.
    pub(super) fn rest_without_server(&mut self) -> Result<(), Halt> {
        let unknown = self.has_unknown_report();
        let asks = self.holding.must_ask() || self.conversation.from_client.watch.ask;
        let from_server = &mut self.conversation.from_server;
        let concerned = self.holding.is_by_session()
            || self.holding.pinned().is_some()
            || asks
            || unknown
            || from_server.certainty != Certainty::Certain;
        if let Some(lease) = self.holding.lease_mut() {
            lease.is_closed();
        }
        if concerned {
            return Err(Halt::ServerGone);
        }
        from_server.fatal = false;
        from_server.last_word = Box::default();
        drop(self.end());
        Ok(())
    }

    /// Whether the server has reported what the client was not told: who changed that is not
    /// known.
    fn has_unknown_report(&self) -> bool {
        let lease = self.holding.lease();
        lease.is_some_and(|lease| !self.expected.knows(lease))
    }

    /// Asks what shows that nothing else is owed. What the client says next waits.
    fn ask_fence(&mut self) {
        let Some(lease) = self.holding.lease_mut() else {
            return;
        };
        let fence = Fence::new();
        let out = self.server.buffer();
        lease.prepared.query(&fence.sql(), out);
        let begun = false;
        let fencing = Box::new(Fencing { fence, begun });
        self.conversation.replies.push(Reply::Fence(fencing));
    }

    fn rest_in_session_mode(&mut self) {
        if let Some(lease) = self.holding.lease_mut() {
            // Whatever the client left there is cleaned when it leaves.
            lease.speaks();
        }
        self.count(false);
        // The server is asked what the session holds when it moves.
        self.conversation.from_client.watch.ask = false;
        self.holding.asked();
    }
}
