//! Frames that may carry a statement name, which is the client's own: written
//! anew with the name that the statement has on the server.

use super::{Copying, Frontend, Restored, Step};
use crate::pool::{
    Evicted, ParseSettings, Prepared, Profile, Statements, Unnamed, for_each_channel,
};
use crate::session::replies::{Change, Describing, Named, Refusal, Replies, Reply, Sets, Taken};
use crate::wire::frame::{Frame, HEADER, cstr};
use crate::wire::message;
use crate::wire::sql::{Suspicion, Tail, suspect};
use crate::wire::tag::{frontend as tag, object, status};

/// Names end within this many bytes of a message, or it is refused. (Tests of
/// every length around it want it small.)
pub(in crate::session) const MAX_NAMES: usize = if cfg!(any(test, fuzzing)) {
    16 << 10
} else {
    2 << 20
};
/// Body of a Parse of nothing, which succeeds in a failed transaction too.
pub(super) const EMPTY: &[u8] = b"\0\0\0";
/// Body of a Parse that fails, whatever the state of the transaction.
const WRONG: &[u8] = b")\0\0\0";
/// A statement with a name is kept for all who parse the same text, as long as
/// one of them has it: there has to be an end to that.
const MAX_NAMED: usize = 16 << 20;
/// An unnamed statement is remembered, and a text looked at, up to this size.
const MAX_TEXT: usize = 64 * 1024;

/// Where messages are written anew. The run of messages before them, which
/// stands in the read buffer, is moved in front of the first.
pub(super) struct Composer<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) run: Option<&'a [u8]>,
}

impl Composer<'_> {
    pub(super) fn begin(&mut self) -> &mut Vec<u8> {
        if let Some(run) = self.run.take() {
            self.out.extend_from_slice(run);
        }
        self.out
    }
}

/// program_limit_exceeded
const LIMIT: &str = "54000";
/// As Postgres has it (RevalidateCachedQuery, plancache.c).
static RESULT_CHANGED: Refusal = Refusal {
    sqlstate: "0A000",
    text: "cached plan must not change result type",
    hint: "",
};
static TOO_MUCH: Refusal = Refusal {
    sqlstate: LIMIT,
    text: "this client's named prepared statements exceed 64 MB or 65,536 statements, or those of all clients 256 MB",
    hint: "Close statements that are not used any more, or set pool_mode = \"session\" for this database.",
};
static TOO_LONG: Refusal = Refusal {
    sqlstate: LIMIT,
    text: "the text of a named prepared statement exceeds 16 MB",
    hint: "Send it without a name, or use a database of pgvalet with pool_mode = \"session\".",
};
static NAME_TOO_LONG: Refusal = Refusal {
    sqlstate: LIMIT,
    text: "the name of a prepared statement or portal exceeds 2 MB",
    hint: "Use a shorter name.",
};

/// The scan of frames that may carry a statement name.
pub(super) struct Multiplex<'a> {
    pub(super) front: &'a mut Frontend,
    pub(super) out: Composer<'a>,
    pub(super) replies: &'a mut Replies,
    pub(super) prepared: &'a mut Prepared,
    pub(super) statements: &'a Statements,
    pub(super) session: u64,
    /// Of the last ReadyForQuery.
    pub(super) status: u8,
    pub(super) initial: &'a Profile,
    pub(super) profile: &'a Profile,
    pub(super) defaults: u64,
    pub(super) pinned: bool,
}

impl Multiplex<'_> {
    pub(super) fn frame(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        match frame.tag {
            tag::PARSE => self.parse(frame, bytes),
            tag::BIND => self.bind(frame, bytes),
            tag::DESCRIBE | tag::CLOSE => self.describe_or_close(frame, bytes),
            tag::QUERY => self.query(frame, bytes),
            tag::EXECUTE => self.execute(frame, bytes),
            tag::FUNCTION_CALL => self.function(frame, bytes),
            _ => Step::Pass,
        }
    }

    fn query(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        let whole = bytes.len() >= frame.len;
        if !whole && frame.len <= MAX_TEXT {
            return Step::More;
        }
        let suspicion = suspect(&bytes[HEADER..bytes.len().min(frame.len)]);
        if self.must_wait_to_listen(suspicion.as_deref()) {
            return Step::Wait;
        }
        if let Some(suspicion) = &suspicion
            && let Some(step) = self.deallocate(frame, suspicion)
        {
            return step;
        }
        self.front.watch.note(suspicion.as_deref(), whole);
        self.may_reset(suspicion.as_deref());
        self.front.text = (!whole).then(|| Box::new(Tail::behind(HEADER)));
        self.front.sets = Sets::of(suspicion.as_deref());
        self.prepared.simple_query();
        Step::Pass
    }

    /// A function called by its number: `set_config` has the one that it has had
    /// since Postgres 7.3 (pg_proc.dat).
    fn function(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        const SET_CONFIG: [u8; 4] = 2078u32.to_be_bytes();
        let Some(number) = bytes.get(HEADER..HEADER + 4) else {
            return if bytes.len() >= frame.len {
                Step::Pass
            } else {
                Step::More
            };
        };
        self.front.watch.ask = true;
        self.front.watch.touched = true;
        self.front.watch.hidden_setting |= number == SET_CONFIG;
        Step::Pass
    }

    /// The settings on which Parse depends, where they are known: nothing may
    /// have changed them since the profile was put in force.
    fn parse_settings(&self) -> Option<ParseSettings> {
        let known = !self.pinned
            && !self.front.watch.touched
            && !self.front.ran_in_batch
            && self.front.restore.is_none();
        known.then(|| self.profile.parse_settings(self.defaults))
    }

    fn may_reset(&mut self, suspicion: Option<&Suspicion>) {
        if let Some(resets) = suspicion.and_then(|s| s.resets.as_ref()) {
            self.front.may_reset(resets, self.initial);
        }
    }

    /// What the client listens on elsewhere has to be known to the server
    /// before it can be given up. `true`: not before earlier batches are
    /// answered.
    ///
    /// In the middle of a batch nothing can be put in; an UNLISTEN there has
    /// no effect. Drivers send it by itself.
    fn must_wait_to_listen(&mut self, suspicion: Option<&Suspicion>) -> bool {
        let listens = &self.front.listens;
        if !suspicion.is_some_and(|s| s.listen)
            || listens.shared.is_empty()
            || listens.restored != Restored::No
            || self.front.batch_open
            || self.status == status::FAILED
        {
            return false;
        }
        if self.replies.batch_pending() {
            return true;
        }
        // What pgvalet itself asked (settings brought up to date) is in nobody's way.
        if !self.replies.owes_a_batch() {
            let sql = for_each_channel("LISTEN", &listens.shared);
            Frontend::ask(&sql, self.out.begin(), self.replies, self.prepared);
            self.front.watch.ask = true; // it must not keep on listening
            self.front.listens.restored = if self.status == status::IN_TRANSACTION {
                Restored::InTransaction
            } else {
                Restored::Yes
            };
        }
        false
    }

    fn parse(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
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
            self.front.batch_open = true;
            self.refuse(&TOO_LONG);
            return Step::Refused;
        }
        let Some(whole) = bytes.get(..frame.len) else {
            return Step::More;
        };
        // Which names are taken depends on what comes of earlier batches.
        if self.replies.batch_pending() {
            return Step::Wait;
        }
        let body = &whole[HEADER + name.len() + 1..];
        self.front.batch_open = true;
        if self.front.names.contains_key(name) {
            self.parse_taken(name, body);
            return Step::Replaced;
        }
        if self.replies.is_empty() {
            self.front.names.settle();
        }
        let kept = (name.len() + body.len()) as u64;
        if !self.front.names.has_room(name, body) || !self.statements.has_room(kept) {
            self.refuse(&TOO_MUCH);
            return Step::Replaced;
        }
        let statement = self.statements.parse(body, self.parse_settings());
        let number = statement.id;
        self.make_room();
        self.prepared.insert(number, number);
        let server_name = self.statements.server_name(number);
        let out = self.out.begin();
        message::parse(out, &server_name, body);
        message::describe_statement(out, &server_name);
        let after = Named {
            statement: statement.clone(),
            since: number,
        };
        let before = self.front.names.insert(name.into(), after.clone());
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
        Step::Replaced
    }

    /// Parse of a name that the client uses already. The server finds fault with
    /// a name of its own: should it accept the statement, nobody would know.
    fn parse_taken(&mut self, name: &[u8], body: &[u8]) {
        let number = self.prepare_empty();
        let server_name = self.statements.server_name(number);
        message::parse(self.out.begin(), &server_name, body);
        let taken = Taken {
            client_name: name.into(),
            server_name,
        };
        self.replies.push(Reply::ParseTaken(Box::new(taken)));
    }

    /// The server refuses it in its place, and passes over the batch.
    pub(super) fn refuse(&mut self, why: &'static Refusal) {
        let nowhere = self.statements.server_name(self.statements.number());
        message::parse(self.out.begin(), &nowhere, WRONG);
        self.replies.push(Reply::Refused(why));
    }

    /// The unnamed statement is the server's, but its text is remembered: the
    /// client may bind it again on another lease.
    fn parse_unnamed(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        let complete = bytes.len() >= frame.len;
        if !complete && frame.len <= MAX_TEXT {
            return Step::More;
        }
        let body = &bytes[HEADER + 1..bytes.len().min(frame.len)];
        let suspicion = suspect(cstr(body).unwrap_or(body));
        if self.must_wait_to_listen(suspicion.as_deref()) {
            return Step::Wait;
        }
        self.front.watch.note(suspicion.as_deref(), complete);
        self.front.text = (!complete).then(|| Box::new(Tail::behind(HEADER + 1)));
        self.front.unnamed_turn += 1;
        self.front.unnamed_sets = Sets::of(suspicion.as_deref());
        let raised = suspicion.clone();
        self.front.suspect_unnamed(suspicion);
        self.front.unnamed_in_batch = true;
        self.prepared.set_unnamed(self.unnamed());
        if complete {
            let settings = self.parse_settings();
            let kept = self.front.unnamed.get_or_insert_default();
            kept.body.clear();
            kept.body.extend_from_slice(body);
            kept.settings = settings;
            kept.suspicion = raised;
        } else {
            self.front.unnamed = None;
        }
        Step::Pass
    }

    fn bind(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        let body = &bytes[HEADER..bytes.len().min(frame.len)];
        let Some(portal) = cstr(body) else {
            return self.incomplete(frame, bytes);
        };
        let Some(name) = cstr(&body[portal.len() + 1..]) else {
            return self.incomplete(frame, bytes);
        };
        if HEADER + portal.len() + 1 + name.len() >= MAX_NAMES {
            return self.refuse_name();
        }
        if let Some(special) = &mut self.front.special {
            special.deallocating.remove(portal);
        }
        let head = HEADER + portal.len() + 1 + name.len() + 1;
        if name.is_empty() {
            return self.bind_unnamed(frame, portal, head);
        }
        if self.replies.change_pending() {
            return Step::Wait;
        }
        let Some(named) = self.front.names.get(name).cloned() else {
            // Made by SQL's PREPARE, or unknown: the server knows which.
            return Step::Pass;
        };
        let statement = &named.statement;
        if self.must_wait_to_listen(statement.suspicion.as_deref()) {
            return Step::Wait;
        }
        if portal.is_empty() {
            self.front.portal_sets = Sets::of(statement.suspicion.as_deref());
        }
        if let Some(suspicion) = &statement.suspicion {
            if let Some(step) = self.bind_deallocate(frame, portal, head, suspicion) {
                return step;
            }
            self.front.watch.raise(suspicion);
            self.may_reset(Some(suspicion));
        }
        match self.prepare(&named) {
            Some(number) => self.bind_to(frame, portal, head, number),
            None => self.wait_for_copy(),
        }
    }

    fn bind_unnamed(&mut self, frame: &Frame, portal: &[u8], head: usize) -> Step {
        if portal.is_empty() {
            self.front.portal_sets = self.front.unnamed_sets;
        }
        // In another lease, maybe, than that in which it was parsed.
        if let Some(unnamed) = &self.front.unnamed
            && let Some(suspicion) = &unnamed.suspicion
        {
            self.front.watch.raise(suspicion);
        }
        let special = self.front.special.as_mut();
        if let Some(suspicion) = special.and_then(|special| special.unnamed.take()) {
            self.may_reset(Some(&suspicion));
            let step = self.bind_deallocate(frame, portal, head, &suspicion);
            self.front.suspect_unnamed(Some(suspicion));
            if let Some(step) = step {
                return step;
            }
        }
        self.restore_unnamed()
    }

    /// The Bind with the statement's name on the server; `head`: what comes
    /// before the parameters, as the client sent it.
    pub(super) fn bind_to(
        &mut self,
        frame: &Frame,
        portal: &[u8],
        head: usize,
        number: u64,
    ) -> Step {
        self.front.batch_open = true;
        let out = self.out.begin();
        out.push(tag::BIND);
        let length_at = out.len();
        out.extend([0; 4]);
        out.extend_from_slice(portal);
        out.push(0);
        self.statements.write_name(number, out);
        out.push(0);
        let length = (out.len() - length_at) + (frame.len - head);
        out[length_at..length_at + 4].copy_from_slice(&(length as u32).to_be_bytes());
        self.replies.push(Reply::Bind(Some(number)));
        Step::Rewritten(head)
    }

    fn describe_or_close(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        if frame.len >= MAX_NAMES {
            return self.refuse_name();
        }
        let Some(whole) = bytes.get(..frame.len) else {
            return self.incomplete(frame, bytes);
        };
        let Some((&kind, rest)) = whole[HEADER..].split_first() else {
            return Step::Pass;
        };
        let Some(name) = cstr(rest) else {
            return Step::Pass;
        };
        match (frame.tag, kind) {
            (tag::DESCRIBE, object::STATEMENT) if name.is_empty() => self.restore_unnamed(),
            (_, object::STATEMENT) if !name.is_empty() && self.replies.change_pending() => {
                Step::Wait
            }
            (tag::DESCRIBE, object::STATEMENT) => {
                let Some(named) = self.front.names.get(name).cloned() else {
                    return Step::Pass;
                };
                let Some(number) = self.prepare(&named) else {
                    return self.wait_for_copy();
                };
                let server_name = self.statements.server_name(number);
                message::describe_statement(self.out.begin(), &server_name);
                self.front.batch_open = true;
                self.replies.push(Reply::Describe(number));
                Step::Replaced
            }
            (_, object::STATEMENT) if name.is_empty() => {
                self.front.drop_unnamed();
                self.prepared.forget_unnamed();
                Step::Pass
            }
            (_, object::STATEMENT) => {
                let Some(before) = self.front.names.remove(name) else {
                    return Step::Pass;
                };
                self.front.batch_open = true;
                let change = Change {
                    name: name.into(),
                    before: Some(before),
                    after: None,
                };
                let nothing = self.statements.server_name(self.statements.number());
                message::close_statement(self.out.begin(), &nothing);
                self.replies.push(Reply::Close(Some(Box::new(change))));
                Step::Replaced
            }
            _ => Step::Pass,
        }
    }

    /// The number of a copy of a statement that is as new as the client's Parse.
    /// `None`: it is being made, or cannot be.
    fn prepare(&mut self, named: &Named) -> Option<u64> {
        let statement = &named.statement;
        let id = statement.id;
        match self.front.copying {
            Copying::Asked(of) | Copying::Changed(of) if of == id => return None,
            Copying::Same(of) if of == id => self.front.copying = Copying::No,
            _ => {}
        }
        if let Some(number) = self.prepared.touch(id, named.since) {
            return Some(number);
        }
        let number = self.statements.number();
        let name = self.statements.server_name(number);
        let body = statement.body_again();
        let settings = statement.settings.get().cloned();
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
        self.front.batch_open = true;
        self.front.copying = Copying::Asked(id);
        None
    }

    /// A message of the client's waits until it is known what the copy of its
    /// statement is, or fails, if that is not what the client knows.
    fn wait_for_copy(&mut self) -> Step {
        let Copying::Changed(id) = self.front.copying else {
            return Step::Wait;
        };
        self.prepared.outdate(id);
        self.front.copying = Copying::No;
        self.front.batch_open = true;
        self.refuse(&RESULT_CHANGED);
        Step::Refused
    }

    /// A statement that does nothing and always succeeds; its number.
    pub(super) fn prepare_empty(&mut self) -> u64 {
        self.prepare_own(EMPTY)
    }

    /// A statement of nobody's; its number.
    pub(super) fn prepare_own(&mut self, body: &[u8]) -> u64 {
        let number = self.statements.number();
        self.make_room();
        self.prepared.insert(number, number);
        let name = self.statements.server_name(number);
        message::parse(self.out.begin(), &name, body);
        let copy = Evicted { id: number, number };
        self.replies.push(Reply::HiddenParse(copy));
        number
    }

    /// Parses a text under the settings under which the client has parsed it.
    fn parse_again(&mut self, name: &str, body: &[u8], settings: Option<ParseSettings>) {
        if let Some([there, _]) = self.other_settings(settings) {
            self.set(&there);
        }
        message::parse(self.out.begin(), name, body);
    }

    fn set_back(&mut self, settings: Option<ParseSettings>) {
        if let Some([_, back]) = self.other_settings(settings) {
            self.set(&back);
        }
    }

    /// The statements that lead to settings other than those in force, and back.
    fn other_settings(&self, wanted: Option<ParseSettings>) -> Option<[Vec<String>; 2]> {
        // In a failed transaction nothing can be set, nor parsed.
        if self.status == status::FAILED {
            return None;
        }
        wanted?.in_place_of(&self.parse_settings()?)
    }

    /// Runs statements in the middle of a batch, by the extended protocol.
    fn set(&mut self, statements: &[String]) {
        for sql in statements {
            let name = self.statements.server_name(self.statements.number());
            let out = self.out.begin();
            message::parse(out, &name, &[sql.as_bytes(), EMPTY].concat());
            message::execute(out, &name);
            message::close_statement(out, &name);
            self.replies.push(Reply::HiddenStatement);
            self.replies.push(Reply::HiddenClose(None));
            self.replies.push(Reply::HiddenClose(None));
        }
    }

    /// Closes what has to go before one more is prepared.
    fn make_room(&mut self) {
        while let Some(evicted) = self.prepared.evict() {
            let name = self.statements.server_name(evicted.number);
            message::close_statement(self.out.begin(), &name);
            self.replies.push(Reply::HiddenClose(Some(evicted)));
        }
    }

    /// A frame of which more is needed, unless that is absurd.
    pub(super) fn incomplete(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        // The same whether there is more of it already or not.
        if bytes.len().min(frame.len) >= MAX_NAMES {
            return self.refuse_name();
        }
        if bytes.len() >= frame.len {
            Step::Pass // malformed: the server says it best
        } else {
            Step::More
        }
    }

    /// The message is passed over as it comes in.
    pub(super) fn refuse_name(&mut self) -> Step {
        self.front.batch_open = true;
        self.refuse(&NAME_TOO_LONG);
        Step::Refused
    }

    fn unnamed(&self) -> Unnamed {
        Unnamed {
            session: self.session,
            turn: self.front.unnamed_turn,
        }
    }

    /// Makes sure that the unnamed statement there is this client's, for a
    /// message that then passes as it is.
    fn restore_unnamed(&mut self) -> Step {
        if !self.front.unnamed_in_batch && self.replies.unnamed_pending() {
            return Step::Wait; // for the Parse of an earlier batch
        }
        let wanted = self.unnamed();
        if self.prepared.unnamed() != Some(wanted) {
            if let Some(unnamed) = self.front.unnamed.take() {
                self.parse_again("", &unnamed.body, unnamed.settings.clone());
                self.replies.push(Reply::HiddenParseUnnamed);
                self.set_back(unnamed.settings.clone());
                self.front.unnamed = Some(unnamed);
            } else {
                // It has none, so it must not get another client's.
                message::close_statement(self.out.begin(), "");
                self.replies.push(Reply::HiddenCloseUnnamed);
            }
            self.prepared.set_unnamed(wanted);
            self.front.unnamed_in_batch = true;
        }
        Step::Pass
    }
}
