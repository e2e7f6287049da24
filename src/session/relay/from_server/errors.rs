//! ErrorResponse: what it undoes, and what the client sees of it.

use super::{Certainty, Fate, Scan};
use crate::session::relay::findings::Finding;
use crate::session::relay::replies::{Aftermath, Reply};
use crate::wire::message::{self, ErrorFields};
use crate::wire::tag::status;
use crate::wire::{ClientError, Frame};

impl Scan<'_> {
    /// Handles ErrorResponse.
    pub(super) fn error(&mut self, frame: &Frame, message: &[u8], own: bool) -> Fate {
        if self.replies.is_empty() {
            let whole = message.len() == frame.len;
            let idle = self.state.status == status::IDLE;
            if idle && whole && ErrorFields::read(message).is_fatal() {
                self.state.fatal = true;
                self.state.last_word = message.into();
                return Fate::Drop;
            }
            self.state.certainty = Certainty::Doubtful;
        }
        match self.replies.take_aftermath() {
            Aftermath::Known => {}
            Aftermath::Doubtful => self.state.certainty = Certainty::Doubtful,
            Aftermath::Lost => return Fate::Broken,
        }
        let replacement = self.note_error(message);
        if let Some(replacement) = replacement
            && message.len() == frame.len
        {
            self.cursor.end_run(self.out);
            self.out.extend(replacement);
            return Fate::Drop;
        }
        Fate::pass_if(!own)
    }

    /// Notes what has failed; returns what the client sees, if it is not the message itself.
    fn note_error(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let fields = ErrorFields::read(message);
        self.state.fatal |= fields.is_fatal();
        match self.replies.front() {
            // A cancel of the client's came a little late, but the client has to be told: it
            // may have ended a transaction.
            Some(Reply::Restore) if fields.sqlstate == "57014" => {
                self.from_client.restore_failed();
                return Some(message.to_vec());
            }
            Some(Reply::HiddenQuery | Reply::Restore) => {
                self.findings.add(Finding::SettingsRefused(fields));
                return None;
            }
            _ => {}
        }
        let overdue = self.of_query_timeout(&fields);
        let (mut failed, no_sync) = self.replies.fail();
        let reply = failed.pop();
        // Undone first: a Close behind the failed message has taken away the client's name for
        // a statement, which the error has to show.
        self.undo(failed, no_sync);
        let Some(reply) = reply else { return overdue };
        let replacement = self.replacement(&reply, &fields, message);
        self.undo(vec![reply], no_sync);
        overdue.or(replacement)
    }

    /// What the client sees where pgvalet has cancelled its query: Postgres takes that for a
    /// wish of the user's.
    fn of_query_timeout(&self, fields: &ErrorFields) -> Option<Vec<u8>> {
        let activity = self.view.activity?;
        let is_one = fields.sqlstate == "57014" && !fields.is_fatal() && activity.is_overdue();
        is_one.then(|| {
            let mut error = Vec::new();
            ClientError::QueryOverdue.error(&mut error);
            error
        })
    }

    fn undo(&mut self, failed: Vec<Reply>, no_sync: bool) {
        let prepared = &mut *self.view.prepared;
        self.from_client
            .undo(failed, no_sync, self.replies, prepared);
    }

    /// What the client sees instead of an error about `reply`. An error about a message that
    /// pgvalet put in is passed on as it is, because the client has to learn that its batch
    /// has failed.
    fn replacement(
        &mut self,
        reply: &Reply,
        fields: &ErrorFields,
        message: &[u8],
    ) -> Option<Vec<u8>> {
        match reply {
            Reply::ParseTaken(taken) => Some(message::rename(
                message,
                taken.server_name.as_bytes(),
                &taken.client_name,
            )),
            Reply::Deallocate(of) => {
                let from = self.view.statements.server_name(of.stand_in);
                let renamed = message::rename(message, from.as_bytes(), &of.change.name);
                Some(renamed)
            }
            // With another SQLSTATE the server had another reason, and says so.
            Reply::Refused(refusal) if fields.sqlstate == "42601" => {
                let hint = (!refusal.hint.is_empty()).then_some(refusal.hint);
                let mut error = Vec::new();
                message::error_response(&mut error, "ERROR", refusal.sqlstate, refusal.text, hint);
                Some(error)
            }
            Reply::Bind(Some(number)) | Reply::Describe(number) => {
                let replacement = self.with_clients_name(*number, message);
                // The statement was deallocated by something that pgvalet does not see (DO, a
                // function). It is prepared again when it is needed next.
                // A copy that stands for an unnamed statement.
                if let Some(id) = self.view.prepared.statement_of(*number)
                    && self.from_client.name_of(id).is_none()
                {
                    self.view.statements.plans.forget(id);
                    self.view.prepared.outdate(id);
                }
                if fields.sqlstate == "26000" {
                    self.view.prepared.remove_number(*number);
                    self.findings.add(Finding::StatementLost);
                }
                replacement
            }
            _ => None,
        }
    }

    /// An error about a copy, with the client's name for its statement. `None`: the error names
    /// no statement, or the client's name is not known any more.
    fn with_clients_name(&self, number: u64, message: &[u8]) -> Option<Vec<u8>> {
        let server_name = self.view.statements.server_name(number);
        let named = |w: &[u8]| w == server_name.as_bytes();
        if !message.windows(server_name.len()).any(named) {
            return None;
        }
        let name: &[u8] = match self.from_client.stands_in(number) {
            true => b"",
            false => {
                let id = self.view.prepared.statement_of(number)?;
                self.from_client.name_of(id)?
            }
        };
        Some(message::rename(message, server_name.as_bytes(), name))
    }
}
