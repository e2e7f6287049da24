//! Copies of a client's statements on the server connection that it holds.

use super::multiplex::Multiplex;
use super::refusal::RESULT_CHANGED;
use super::{Copying, Step};
use crate::pool::{Evicted, ParseSettings};
use crate::session::relay::replies::{Describing, Named, Reply};
use crate::wire::frame::cstr;
use crate::wire::message;
use crate::wire::sql::runs_alone;
use crate::wire::tag::status;

/// The body of a Parse of nothing, which succeeds in a failed transaction too.
pub(super) const EMPTY: &[u8] = b"\0\0\0";

impl Multiplex<'_, '_> {
    /// The number of a copy of the statement that was made after the client's Parse. `None`: the
    /// copy is being made, or cannot be made.
    pub(super) fn prepare(&mut self, named: &Named) -> Option<u64> {
        let statement = &named.statement;
        let id = statement.id;
        match self.client.copying {
            Copying::Asked(of) | Copying::Changed(of) if of == id => return None,
            Copying::Same(of) if of == id => self.client.copying = Copying::No,
            _ => {}
        }
        if let Some(number) = self.prepared.touch(id, named.since) {
            return Some(number);
        }
        let number = self.view.statements.number();
        let name = self.view.statements.server_name(number);
        let body = statement.body_again();
        let settings = parsed_under(&body, statement.settings.get());
        self.make_room();
        self.prepared.insert(id, number);
        self.parse_again(&name, &body, settings.clone());
        self.replies
            .push(Reply::HiddenParse(Evicted { id, number }));
        message::describe_statement(self.out.begin(), &name);
        self.replies
            .push(Reply::HiddenDescribe(Box::new(Describing {
                name: Box::default(),
                statement: statement.clone(),
                number,
                parameters: None,
                again: true,
            })));
        self.set_back(settings);
        message::flush(self.out.begin());
        self.client.batch_open = true;
        self.client.copying = Copying::Asked(id);
        None
    }

    /// What becomes of a message whose statement has no copy: it waits for the description of
    /// the copy, and fails if that is not the one which the client knows.
    pub(super) fn wait_for_copy(&mut self) -> Step {
        let Copying::Changed(id) = self.client.copying else {
            return Step::Wait;
        };
        self.prepared.outdate(id);
        self.client.copying = Copying::No;
        self.client.batch_open = true;
        self.refuse(&RESULT_CHANGED);
        Step::Refused
    }

    /// Makes sure that the unnamed statement on the server is this client's, for a message that
    /// then passes as it is.
    pub(super) fn restore_unnamed(&mut self) -> Step {
        if !self.client.unnamed_in_batch && self.replies.unnamed_pending() {
            return Step::Wait; // for the Parse of an earlier batch
        }
        let wanted = self.unnamed();
        if self.prepared.unnamed() != Some(wanted) {
            if let Some(unnamed) = self.client.unnamed.take() {
                let settings = parsed_under(&unnamed.body, unnamed.settings.as_ref());
                self.parse_again("", &unnamed.body, settings.clone());
                self.replies.push(Reply::HiddenParseUnnamed);
                self.set_back(settings);
                self.client.unnamed = Some(unnamed);
            } else {
                // The client has none, and must not get another client's.
                message::close_statement(self.out.begin(), "");
                self.replies.push(Reply::HiddenCloseUnnamed);
            }
            self.prepared.set_unnamed(wanted);
            self.client.unnamed_in_batch = true;
        }
        Step::Pass
    }

    /// Prepares a statement that does nothing and always succeeds; returns its number.
    pub(super) fn prepare_empty(&mut self) -> u64 {
        self.prepare_own(EMPTY)
    }

    /// Prepares a statement that belongs to no client; returns its number.
    pub(super) fn prepare_own(&mut self, body: &[u8]) -> u64 {
        let number = self.view.statements.number();
        self.make_room();
        self.prepared.insert(number, number);
        let name = self.view.statements.server_name(number);
        message::parse(self.out.begin(), &name, body);
        let copy = Evicted { id: number, number };
        self.replies.push(Reply::HiddenParse(copy));
        number
    }

    /// Parses a text under the settings under which the client has parsed it. They stay in force
    /// until [`set_back`](Self::set_back).
    fn parse_again(&mut self, name: &str, body: &[u8], settings: Option<ParseSettings>) {
        if let Some([there, _]) = self.other_settings(settings) {
            self.set(&there);
        }
        message::parse(self.out.begin(), name, body);
    }

    fn set_back(&mut self, settings: Option<ParseSettings>) {
        if let Some([_, from_server]) = self.other_settings(settings) {
            self.set(&from_server);
        }
    }

    /// The statements that put the wanted settings in force, and those that undo it; `None`
    /// where they are in force, or not known.
    fn other_settings(&self, wanted: Option<ParseSettings>) -> Option<[Vec<String>; 2]> {
        // Nothing can be set or parsed in a failed transaction.
        if self.status == status::FAILED {
            return None;
        }
        wanted?.in_place_of(&self.parse_settings()?)
    }

    /// Runs statements in the middle of a batch, by the extended protocol.
    fn set(&mut self, statements: &[String]) {
        for sql in statements {
            let name = self
                .view
                .statements
                .server_name(self.view.statements.number());
            let out = self.out.begin();
            message::parse(out, &name, &[sql.as_bytes(), EMPTY].concat());
            message::execute(out, &name);
            message::close_statement(out, &name);
            self.replies.push(Reply::HiddenStatement);
            self.replies.push(Reply::HiddenClose(None));
            self.replies.push(Reply::HiddenClose(None));
        }
    }

    /// Closes the copies that have to go before one more is prepared.
    pub(super) fn make_room(&mut self) {
        while let Some(evicted) = self.prepared.evict() {
            let name = self.view.statements.server_name(evicted.number);
            message::close_statement(self.out.begin(), &name);
            self.replies.push(Reply::HiddenClose(Some(evicted)));
        }
    }
}

/// The settings that have to be in force when a text is parsed again. None need to be for a
/// statement that runs alone: the SET in front of it would be the first of its batch.
fn parsed_under(body: &[u8], settings: Option<&ParseSettings>) -> Option<ParseSettings> {
    let settings = settings?;
    let text = cstr(body).unwrap_or(body);
    (!runs_alone(text)).then(|| settings.clone())
}
