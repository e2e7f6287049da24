//! What pgvalet itself tells a client: errors, notices, and what is said last.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Relay;
use crate::pool::Told;
use crate::wire::notice::{MIN_MESSAGES, gets_notices};
use crate::wire::tag::status;
use crate::wire::{ClientError, ClientNotice, message};

/// How long pgvalet waits, at the end, for a client that does not read.
const PATIENCE: Duration = Duration::from_secs(5);

impl Relay {
    /// Answers with an error what needs a server connection, and the session goes on, as
    /// Postgres does with a query that is cancelled.
    pub fn refuse(&mut self, error: &ClientError) {
        let Some(&tag) = self.client.input().bytes().first() else {
            return;
        };
        let out = self.client.buffer();
        error.error(out);
        if self.conversation.from_client.refuse(tag) {
            message::ready_for_query(out, status::IDLE);
        }
        self.client.look_again();
    }

    /// Tells the client something while it waits for a server connection, unless it wants
    /// no notices.
    pub fn give_notice(&mut self, notice: &ClientNotice) {
        let level = self.expected.profile().settings().get(MIN_MESSAGES);
        if gets_notices(level.map(|level| &**level)) {
            notice.write(self.client.buffer());
        }
    }

    /// Tells the client what the server has reported in answer to questions of pgvalet's.
    /// `before`: what the client was told.
    pub fn tell_changes(&mut self, before: &Arc<Told>) {
        let Some(lease) = self.holding.lease() else {
            return;
        };
        let reported = lease.reported();
        if !before.is(reported) {
            before.write_changes(reported, self.client.buffer());
        }
        self.expected.note_told(lease, &self.handle.pool.facts);
    }

    /// Sends all that waits for the client, and `last` behind it, and hangs up.
    ///
    /// Where part of a message has been sent and the rest will not come, nothing can be said any
    /// more: it would be read as that rest, and an error could become the value of a column.
    pub async fn farewell(&mut self, last: &[u8]) {
        if !self.conversation.from_server.is_in_message() {
            self.client.buffer().extend_from_slice(last);
        }
        let written = timeout(PATIENCE, poll_fn(|cx| self.client.write_all(cx))).await;
        if matches!(written, Ok(Ok(()))) {
            self.client.hang_up().await;
        }
    }
}
