//! Coming to rest with a server connection: whether it goes back to the pool.

use std::mem;

use super::from_server::Certainty;
use super::replies::{Fencing, Reply};
use super::{Halt, Relay};
use crate::pool::PoolMode;
use crate::upstream::Fence;

impl Relay {
    /// Handles coming to rest with a lease: in transaction mode the connection goes back to
    /// the pool.
    pub(super) fn rest(&mut self) -> Result<(), Halt> {
        if self.conversation.from_server.fatal {
            return self.rest_without_server();
        }
        self.discarding = false;
        let session = self.mode == PoolMode::Session;
        let certainty = self.conversation.from_server.certainty;
        if certainty == Certainty::Doubtful && (!session || self.moves) {
            self.ask_fence();
            return Ok(());
        }
        if session {
            self.rest_in_session_mode();
            return Ok(());
        }
        self.ask |= mem::take(&mut self.conversation.from_client.watch.ask);
        if certainty == Certainty::Fenced {
            self.conversation.from_server.certainty = Certainty::Certain;
            self.ask = true;
            if let Some(lease) = &mut self.lease {
                // It is not known any more which statements are prepared.
                lease.prepared.clear();
                lease.untidy = true;
            }
        }
        if let Some(lease) = &self.lease {
            // A report that the client was not told of: it is not known who changed that.
            self.ask |= !self.told.is(lease.reported());
        }
        if self.ask || self.pinned.is_some() {
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
        let asks = self.ask || self.conversation.from_client.watch.ask;
        let from_server = &mut self.conversation.from_server;
        let mut concerned = self.mode == PoolMode::Session
            || self.pinned.is_some()
            || asks
            || from_server.certainty != Certainty::Certain;
        if let Some(lease) = &mut self.lease {
            lease.is_closed();
            // A report that the client was not told of: it is not known who changed that.
            concerned |= !self.told.is(lease.reported());
        }
        if concerned {
            return Err(Halt::ServerGone);
        }
        from_server.fatal = false;
        from_server.last_word = Box::default();
        drop(self.end());
        Ok(())
    }

    /// Asks what shows that nothing else is owed. What the client says next waits.
    fn ask_fence(&mut self) {
        let Some(lease) = &mut self.lease else { return };
        let fence = Fence::new();
        let out = self.to_server.buffer();
        lease.prepared.query(&fence.sql(), out);
        let begun = false;
        let fencing = Box::new(Fencing { fence, begun });
        self.conversation.replies.push(Reply::Fence(fencing));
    }

    fn rest_in_session_mode(&mut self) {
        if let Some(lease) = &mut self.lease {
            // Whatever the client left there is cleaned when it leaves.
            lease.speaks();
        }
        self.count(false);
        // The server is asked what the session holds when it moves.
        self.conversation.from_client.watch.ask = false;
        self.ask = false;
    }
}
