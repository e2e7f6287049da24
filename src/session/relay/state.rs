//! Where a session stands.

use super::Relay;
use crate::session::registry::{Phase, Signal};
use crate::wire::tag::status;

impl Relay {
    /// Whether no transaction is open and nothing is under way.
    pub fn at_rest(&self) -> bool {
        !self.holding.has_lease()
            || (self.conversation.is_at_rest()
                && self.server.is_idle()
                // A message waits until its settings are in force.
                && !(self.holding.is_setting_up() && self.client.has_input()))
    }

    /// Whether the session can be ended without breaking off a transaction.
    pub fn may_end(&self) -> bool {
        self.at_rest() || self.conversation.is_between_streamed_messages()
    }

    /// Whether nothing is under way; a transaction may be open.
    pub fn at_ready(&self) -> bool {
        self.conversation.is_at_ready() && self.server.is_idle()
    }

    pub fn in_transaction(&self) -> bool {
        self.holding.has_lease() && self.conversation.from_server.status != status::IDLE
    }

    /// Whether the server has said why it closes the connection.
    pub fn saw_fatal(&self) -> bool {
        self.conversation.from_server.fatal
    }

    /// What the server has said last, if the client was not told yet.
    pub fn last_word(&mut self) -> Box<[u8]> {
        std::mem::take(&mut self.conversation.from_server.last_word)
    }

    /// Whether nothing is left to do for a client that is leaving.
    pub(super) fn is_done(&self) -> bool {
        self.server.is_written()
            && !self.client.awaits_answers()
            && !self.conversation.replies.front_is_own()
            && (!self.holding.has_lease() || self.conversation.is_done_without_client())
    }

    fn phase(&self) -> Phase {
        if self.at_rest() {
            Phase::Idle
        } else if self.at_ready() && self.in_transaction() {
            Phase::Transaction
        } else {
            Phase::Query
        }
    }

    /// Publishes the current phase for the timeout sweep, and for whoever looks.
    pub(super) fn report(&self) {
        let phase = self.phase();
        let running = match phase {
            Phase::Query => self.conversation.running(),
            _ => 0,
        };
        let progress = self.conversation.progress();
        self.handle.activity.set(phase, progress, running);
    }

    /// Whether a client that was found silent still is.
    pub(super) fn is_still(&self, signal: Signal) -> bool {
        match signal {
            Signal::IdleClient => self.phase() == Phase::Idle,
            Signal::IdleInTransaction => self.phase() == Phase::Transaction,
            _ => true,
        }
    }
}
