//! What a client and the server connection that it holds have said to each other.

use super::from_client::{self, FromClient};
use super::from_server::{self, Certainty, FromServer};
use super::replies::Replies;
use crate::pool::Prepared;

/// Both directions, and what the server still owes.
#[derive(Default)]
pub(super) struct Conversation {
    pub from_client: FromClient,
    pub from_server: FromServer,
    pub replies: Replies,
}

impl Conversation {
    /// Scans bytes of the client; appends to `out` what goes to the server before the run.
    /// `prepared`: what is prepared on the server connection; `None` without one.
    pub fn client_says(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        prepared: Option<&mut Prepared>,
        view: from_client::View<'_>,
    ) -> from_client::Progress {
        let status = self.from_server.status;
        self.from_client
            .scan(input, out, &mut self.replies, prepared, status, view)
    }

    /// Scans bytes of the server; appends to `out` what goes to the client before the run.
    pub fn server_says(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        view: from_server::View<'_>,
    ) -> from_server::Progress {
        let (replies, from_client) = (&mut self.replies, &mut self.from_client);
        self.from_server
            .scan(input, out, replies, from_client, view)
    }

    /// Whether the client has sent all of its last message and of its last batch.
    fn client_is_done(&self) -> bool {
        !self.from_client.batch_open && !self.from_client.is_in_message()
    }

    /// Whether no transaction is open and nothing is under way.
    pub fn is_at_rest(&self) -> bool {
        self.replies.is_empty() && self.client_is_done() && self.from_server.is_idle()
    }

    /// Whether nothing is under way; a transaction may be open.
    pub fn is_at_ready(&self) -> bool {
        self.replies.is_empty()
            && self.client_is_done()
            && self.from_server.is_at_boundary()
            && self.from_server.certainty != Certainty::Doubtful
    }

    /// Whether a replication stream is between two messages.
    pub fn is_between_streamed_messages(&self) -> bool {
        self.from_server.streaming && self.from_server.is_at_boundary()
    }

    /// Whether the server owes nothing more to a client that says nothing more, or waits for what
    /// will not come.
    pub fn is_done_without_client(&self) -> bool {
        let awaits_flush = self.from_client.flushed && !self.replies.is_empty();
        !self.replies.owes_a_batch() && !awaits_flush
            || self.replies.is_copying_in()
            || self.from_server.streaming
            || self.from_client.is_in_message()
    }

    /// How many queries were sent and commands answered, which tells apart two moments that
    /// look alike.
    pub fn progress(&self) -> u64 {
        self.from_client.queries + self.from_server.answers
    }

    /// How many statements run before the server has to answer. A statement may begin when
    /// the one before it is done, which shows in the answers; the server may keep those of a
    /// batch back until Sync.
    pub fn running(&self) -> usize {
        self.replies.running().max(self.from_client.statements)
    }
}
