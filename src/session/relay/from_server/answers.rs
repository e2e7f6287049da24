//! The answers of a server, one by one.

use std::sync::Arc;

use super::{Certainty, Fate, Scan};
use crate::pool::{Described, Statements};
use crate::session::relay::findings::Finding;
use crate::session::relay::from_client::AtReady;
use crate::session::relay::replies::{Reply, Sets};
use crate::wire::message::{read_command_tag, read_notification, read_parameter_status};
use crate::wire::tag::{backend as tag, status};
use crate::wire::{Frame, HEADER};

impl Scan<'_> {
    /// Handles an answer. `message`: its bytes, if it is inspected.
    pub(super) fn answer(&mut self, frame: &Frame, message: &[u8]) -> Fate {
        // Everything up to ReadyForQuery answers a query of pgvalet's own.
        let own = self.replies.front_is_own();
        match frame.tag {
            tag::READY_FOR_QUERY => self.ready(message, own),
            tag::ERROR_RESPONSE => self.error(frame, message, own),
            tag::PARAMETER_STATUS => self.parameter_status(message, own),
            tag::COMMAND_COMPLETE => self.command_complete(message, own),
            tag::EMPTY_QUERY_RESPONSE | tag::PORTAL_SUSPENDED => {
                self.pop_if(|r| matches!(r, Reply::Execute(_)));
                Fate::pass_if(!own)
            }
            tag::PARSE_COMPLETE | tag::BIND_COMPLETE | tag::CLOSE_COMPLETE if own => Fate::Drop,
            tag::PARSE_COMPLETE | tag::BIND_COMPLETE | tag::DATA_ROW
                if self.awaits(|r| matches!(r, Reply::HiddenStatement)) =>
            {
                Fate::Drop
            }
            tag::PARSE_COMPLETE => self.parse_complete(),
            tag::BIND_COMPLETE => {
                self.expect(|r| matches!(r, Reply::Bind(_)));
                self.pop_if(|r| matches!(r, Reply::Bind(_)));
                Fate::Pass
            }
            tag::CLOSE_COMPLETE => self.close_complete(),
            tag::PARAMETER_DESCRIPTION | tag::ROW_DESCRIPTION | tag::NO_DATA
                if self.awaits(|r| matches!(r, Reply::HiddenDescribe(_))) =>
            {
                self.description(frame.tag, message);
                Fate::Drop
            }
            tag::ROW_DESCRIPTION | tag::NO_DATA => {
                self.pop_if(|r| matches!(r, Reply::Describe(_)));
                Fate::pass_if(!own)
            }
            tag::COPY_BOTH_RESPONSE => {
                self.state.streaming = true;
                Fate::Pass
            }
            tag::COPY_IN_RESPONSE => self.copy_in(),
            tag::NOTIFICATION_RESPONSE => self.notification(message),
            _ => Fate::pass_if(!own),
        }
    }

    /// Whether the next answer belongs to an entry that satisfies `predicate`.
    fn awaits(&self, predicate: impl Fn(&Reply) -> bool) -> bool {
        self.replies.front().is_some_and(predicate)
    }

    /// Notes an answer that nobody waits for.
    fn expect(&mut self, predicate: impl Fn(&Reply) -> bool) {
        if !self.awaits(predicate) {
            self.state.certainty = Certainty::Doubtful;
        }
    }

    fn pop_if(&mut self, predicate: impl Fn(&Reply) -> bool) {
        if self.awaits(predicate) {
            self.replies.pop();
        }
    }

    /// Handles ReadyForQuery.
    fn ready(&mut self, message: &[u8], own: bool) -> Fate {
        if self.from_client.sends_again() {
            return self.ready_to_send_again(message);
        }
        let at_ready = self.note_ready(message);
        // Settings were brought up to date: the client is told what differs from the
        // connection that it had before.
        if own && at_ready.is_none() && !self.view.told.is(self.view.reported) {
            self.cursor.end_run(self.out);
            self.view.told.write_changes(self.view.reported, self.out);
            *self.view.told = self.view.facts.told(self.view.reported);
        }
        if self.view.one_statement && self.state.status != status::IDLE {
            // The client is told last that this is refused; what it sent behind it would run
            // in the transaction.
            self.findings.add(Finding::TransactionOpen);
            return Fate::End;
        }
        match at_ready {
            None => Fate::Drop,
            Some(AtReady::Pass) => Fate::Pass,
            Some(AtReady::HoldBack) => {
                self.replies.push(Reply::Restore);
                self.findings.add(Finding::Reset);
                Fate::Drop
            }
            Some(AtReady::Tell) => {
                self.cursor.end_run(self.out);
                if self.from_client.tell(self.view.reported, self.out) {
                    self.findings.add(Finding::Restored);
                }
                Fate::Pass
            }
        }
    }

    /// Notes the transaction status; `None` if the client does not get to see the message.
    fn note_ready(&mut self, message: &[u8]) -> Option<AtReady> {
        let own = self.awaits(|r| matches!(r, Reply::HiddenQuery));
        let restored = self.awaits(|r| matches!(r, Reply::Restore));
        if !self.replies.take_ready() {
            self.state.certainty = Certainty::Doubtful;
            self.from_client.resume(self.replies.is_empty());
        }
        let status = message.get(HEADER).copied().unwrap_or(status::IDLE);
        if !own && !restored && status == status::IDLE {
            self.state.transactions += 1;
        }
        self.state.status = status;
        if self.state.ddl && status == status::IDLE {
            self.state.ddl = false;
            self.view.statements.plans.ddl.note(); // others see it only now
        }
        self.state.streaming = false;
        let last = self.replies.is_empty();
        (!own).then(|| self.from_client.restore_at_ready(status, last, restored))
    }

    fn parameter_status(&mut self, message: &[u8], own: bool) -> Fate {
        let mut kept_back = false;
        if let Some((name, value)) = read_parameter_status(message) {
            let before = self.view.reported.set(name, value);
            kept_back = self.from_client.hold_report(name, before.as_deref());
        }
        Fate::pass_if(!own && !kept_back)
    }

    fn command_complete(&mut self, message: &[u8], own: bool) -> Fate {
        let tag = read_command_tag(message);
        if own || self.is_of_stand_in(tag) {
            return Fate::Drop;
        }
        if self.awaits(|r| matches!(r, Reply::HiddenStatement)) {
            self.replies.pop();
            return Fate::Drop;
        }
        self.expect(|r| {
            matches!(
                r,
                Reply::Query(_) | Reply::Execute(_) | Reply::Deallocate(_)
            )
        });
        self.note_command(tag);
        self.complete();
        Fate::Pass
    }

    /// The PREPARE in front of a DEALLOCATE, which the client has not sent.
    fn is_of_stand_in(&self, tag: &[u8]) -> bool {
        tag == b"PREPARE" && self.awaits(|r| matches!(r, Reply::Deallocate(of) if of.simple))
    }

    /// Takes off the entry that ends with CommandComplete.
    fn complete(&mut self) {
        if !self.awaits(|r| matches!(r, Reply::Execute(_) | Reply::Deallocate(_))) {
            return;
        }
        if let Some(Reply::Deallocate(of)) = self.replies.pop() {
            self.view.prepared.remove_number(of.stand_in);
            self.replies.forget_eviction(of.stand_in);
        }
    }

    fn parse_complete(&mut self) -> Fate {
        match self.replies.front() {
            Some(Reply::HiddenParse(_) | Reply::HiddenParseUnnamed) => {
                self.replies.pop();
                Fate::Drop
            }
            Some(
                Reply::Parse(_) | Reply::ParseUnnamed | Reply::ParseTaken(_) | Reply::Refused(_),
            ) => {
                self.replies.pop();
                Fate::Pass
            }
            _ => {
                self.state.certainty = Certainty::Doubtful;
                Fate::Pass
            }
        }
    }

    fn close_complete(&mut self) -> Fate {
        match self.replies.front() {
            Some(Reply::HiddenClose(_) | Reply::HiddenCloseUnnamed) => {
                self.replies.pop();
                Fate::Drop
            }
            _ => {
                self.pop_if(|r| matches!(r, Reply::Close(_)));
                Fate::Pass
            }
        }
    }

    /// The answers to a Describe that pgvalet put in: ParameterDescription, and then
    /// RowDescription or NoData.
    fn description(&mut self, tag: u8, message: &[u8]) {
        if tag != tag::PARAMETER_DESCRIPTION {
            return self.described(message);
        }
        if let Some(Reply::HiddenDescribe(describing)) = self.replies.front_mut() {
            describing.parameters = message.get(HEADER..).map(Into::into);
        }
    }

    /// The server has said what a statement is that a client has parsed: it may be one that
    /// other clients have as well.
    fn described(&mut self, message: &[u8]) {
        let Some(Reply::HiddenDescribe(describing)) = self.replies.pop() else {
            return;
        };
        let statements = self.view.statements;
        let described = Described {
            parameters: describing.parameters.unwrap_or_else(|| [0, 0].into()),
            columns: Statements::digest(message),
        };
        let parsed = &describing.statement;
        if describing.again {
            let same = statements.is_still(parsed, &described);
            self.from_client.note_verified(same);
            return;
        }
        let same = statements.described(parsed, described);
        if describing.name.is_empty() {
            statements.plans.keep(&same);
        }
        if Arc::ptr_eq(&same, parsed) {
            return;
        }
        self.from_client
            .replace_statement(&describing.name, parsed, &same);
        let number = describing.number;
        self.view.prepared.is_of(number, parsed.id, same.id);
    }

    /// Handles CopyInResponse.
    fn copy_in(&mut self) -> Fate {
        if self.replies.is_empty() {
            // The COPY was taken for the data of an earlier one.
            self.state.certainty = Certainty::Doubtful;
            self.replies.push(Reply::Query(Sets::MAYBE));
        }
        self.from_client.batch_open |= self.replies.copy_in();
        Fate::Pass
    }

    /// Handles NotificationResponse, which is asynchronous and never an answer to anything of
    /// pgvalet's; but the listening connection may have received it, too.
    fn notification(&mut self, message: &[u8]) -> Fate {
        let shared = &self.from_client.listens.shared;
        let known = read_notification(message).is_some_and(|(channel, _)| shared.contains(channel));
        Fate::pass_if(!known)
    }
}
