//! Parse: a name is the client's own, and the server gets one of pgvalet's.

use super::Step;
use super::multiplex::{MAX_TEXT, Multiplex};
use super::refusal::{MAX_NAMES, TOO_LONG, TOO_MUCH};
use crate::session::relay::replies::{Change, Describing, Named, Reply, Sets, Taken};
use crate::wire::frame::{Frame, HEADER, cstr};
use crate::wire::message;
use crate::wire::sql::{Tail, suspect};

/// The largest Parse with a name. Its text is kept for all who parse the same, as long as one
/// of them has it, so that there has to be a limit.
const MAX_NAMED: usize = 16 << 20;

/// An unnamed statement is remembered beyond its transaction up to this size. The longest list
/// of parameters that the protocol allows, `$1` to `$65535`, takes half of it.
const MAX_UNNAMED: usize = 1 << 20;

impl Multiplex<'_, '_> {
    pub(super) fn parse(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        let Some(name) = cstr(&bytes[HEADER..bytes.len().min(frame.len)]) else {
            return self.incomplete(frame, bytes);
        };
        if HEADER + name.len() >= MAX_NAMES {
            return self.refuse_name();
        }
        if name.is_empty() {
            return self.parse_unnamed(frame, bytes);
        }
        if frame.len > MAX_NAMED {
            self.client.batch_open = true;
            self.refuse(&TOO_LONG);
            return Step::Refused;
        }
        let Some(whole) = bytes.get(..frame.len) else {
            return Step::More;
        };
        // Which names are taken depends on whether earlier batches succeed.
        if self.replies.batch_pending() {
            return Step::Wait;
        }
        let body = &whole[HEADER + name.len() + 1..];
        // Before the batch begins, because nothing can be put into the middle of it.
        if !self.client.listens.shared.is_empty()
            && self.listen_before_unlisten(suspect(cstr(body).unwrap_or(body)).as_deref())
        {
            return Step::Wait;
        }
        self.client.batch_open = true;
        if self.client.names.contains_key(name) {
            self.parse_taken(name, body);
            return Step::Replaced;
        }
        if self.replies.is_empty() {
            self.client.names.settle();
        }
        let kept = (name.len() + body.len()) as u64;
        if !self.client.names.has_room(name, body) || !self.view.statements.has_room(kept) {
            self.refuse(&TOO_MUCH);
            return Step::Replaced;
        }
        self.parse_fresh(name, body);
        Step::Replaced
    }

    /// Parses a statement under a name of pgvalet's, and has it described.
    fn parse_fresh(&mut self, name: &[u8], body: &[u8]) {
        let statement = self.view.statements.parse(body, self.parse_settings());
        self.client.makes_tables |= statement.makes_table;
        let number = statement.id;
        self.make_room();
        self.prepared.insert(number, number);
        let server_name = self.view.statements.server_name(number);
        let out = self.out.begin();
        message::parse(out, &server_name, body);
        message::describe_statement(out, &server_name);
        let after = Named {
            statement: statement.clone(),
            since: number,
        };
        let before = self.client.names.insert(name.into(), after.clone());
        self.replies.push(Reply::Parse(Box::new(Change {
            name: name.into(),
            before,
            after: Some(after),
        })));
        self.replies
            .push(Reply::HiddenDescribe(Box::new(Describing {
                name: name.into(),
                statement,
                number,
                parameters: None,
                again: false,
            })));
    }

    /// A Parse of a name that the client uses already has to fail in its place. So the server
    /// gets a name twice that is pgvalet's own, and answers with the error.
    fn parse_taken(&mut self, name: &[u8], body: &[u8]) {
        let number = self.prepare_empty();
        let server_name = self.view.statements.server_name(number);
        message::parse(self.out.begin(), &server_name, body);
        let taken = Taken {
            client_name: name.into(),
            server_name,
        };
        self.replies.push(Reply::ParseTaken(Box::new(taken)));
    }

    /// A Parse of the unnamed statement passes as it is, unless a copy stands for it. Its text is
    /// remembered, because the client may bind it again in another lease.
    fn parse_unnamed(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        let complete = bytes.len() >= frame.len;
        if !complete && frame.len <= MAX_UNNAMED {
            return Step::More;
        }
        let body = &bytes[HEADER + 1..bytes.len().min(frame.len)];
        let suspicion = suspect(cstr(body).unwrap_or(body));
        if self.listen_before_unlisten(suspicion.as_deref()) {
            return Step::Wait;
        }
        self.client.watch.note(suspicion.as_deref(), complete);
        self.client.text = (!complete).then(|| Box::new(Tail::behind(HEADER + 1)));
        self.client.unnamed_turn += 1;
        self.client.unnamed_sets = Sets::of(suspicion.as_deref(), complete);
        self.client.makes_tables |= !complete || self.makes_table(body);
        let raised = suspicion.clone();
        self.client.suspect_unnamed(suspicion);
        self.client.unnamed_in_batch = true;
        self.client.end_reuse();
        let has_room = || self.view.statements.has_room(body.len() as u64);
        if complete && (body.len() <= MAX_TEXT || has_room()) {
            let settings = self.parse_settings();
            let kept = self.client.unnamed.get_or_insert_default();
            kept.body.clear();
            kept.body.shrink_to(body.len().max(MAX_TEXT));
            kept.body.extend_from_slice(body);
            kept.settings = settings;
            kept.suspicion = raised;
        } else {
            self.client.unnamed = None;
        }
        if complete && let Some(step) = self.parse_by_plan(bytes, body) {
            return step;
        }
        self.prepared.set_unnamed(self.unnamed());
        Step::Pass
    }
}
