//! The client's messages on their way to the server.
//!
//! Frames are scanned where they lie. Most pass as they are, and a run of
//! them is one slice of the read buffer; only messages that carry a statement
//! name are written anew, because the name is the client's own and the server
//! knows another.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::replies::{Change, Replies, Reply, Taken};
use crate::pool::{Prepared, Statement, Statements, Suspicion, Unnamed, statement_name, suspect};
use crate::wire::frame::{Frame, HEADER, cstr};
use crate::wire::{ClientError, message};

/// Names are looked for within this many bytes of a Bind; Postgres cuts
/// identifiers at 63.
const MAX_NAMES: usize = 16 * 1024;
/// Body of a Parse of nothing, which succeeds in a failed transaction too.
const EMPTY: &[u8] = b"\0\0\0";
/// An unnamed statement is remembered, and a text looked at, up to this size.
const MAX_TEXT: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Frontend {
    /// The client's named statements.
    names: HashMap<Box<[u8]>, Arc<Statement>>,
    /// Body of its last unnamed Parse.
    unnamed: Option<Vec<u8>>,
    /// Which one that is: a server connection may still hold an earlier one.
    unnamed_turn: u64,
    /// Bytes of the current message that are still to come.
    rest: usize,
    rest_is_dropped: bool,
    /// Extended-protocol messages were sent and no Sync after them.
    pub batch_open: bool,
    /// It holds the unnamed statement that its messages mean.
    unnamed_in_batch: bool,
    /// The server passes over everything up to Sync, and so does this side.
    skipping: bool,
    pub queries: u64,
    pub watch: Watch,
}

/// Custom settings a session is followed with by name; beyond that it keeps
/// its server connection.
const MAX_CUSTOM: usize = 64;

/// What the texts of a session's statements have given reason to suspect.
#[derive(Default)]
pub(super) struct Watch {
    /// The server has to be asked when the lease ends.
    pub ask: bool,
    /// Names of settings of custom classes, from the whole session.
    pub custom: BTreeSet<Box<str>>,
    /// Settings were made that nobody knows the names of.
    pub hidden_setting: bool,
    /// SETs sent in this lease that end with their transaction.
    pub local_sets: usize,
}

impl Watch {
    fn raise(&mut self, suspicion: &Suspicion) {
        self.ask |= suspicion.ask;
        self.hidden_setting |= suspicion.hidden_setting;
        self.local_sets += usize::from(suspicion.local_set);
        for name in &suspicion.custom {
            if self.custom.len() < MAX_CUSTOM {
                self.custom.insert(name.clone());
            } else {
                self.hidden_setting = true;
            }
        }
    }

    /// A text that was too long to be looked at whole, or not.
    fn look(&mut self, text: &[u8], whole: bool) {
        if let Some(suspicion) = suspect(text) {
            self.raise(&suspicion);
        }
        self.ask |= !whole;
    }
}

/// What became of the input.
pub(super) struct Progress {
    /// Bytes dealt with; the others have to be offered again.
    pub consumed: usize,
    /// Where in the input the run begins that goes to the server after what
    /// was written to the buffer; it ends at `consumed`.
    pub run: usize,
    pub verdict: Verdict,
}

pub(super) enum Verdict {
    /// The rest needs more bytes.
    More,
    /// The rest needs a server connection.
    NeedServer,
    /// The rest depends on answers that are under way: what a name means is
    /// not known until an earlier batch has succeeded or failed.
    NeedAnswers,
    Terminate,
    Violation(ClientError),
}

/// Where the scan of a frame leads.
enum Step {
    /// Goes on as it is.
    Pass,
    /// Is not sent; what takes its place has been written.
    Replaced,
    /// The first bytes were written anew; the rest goes on as it is.
    Rewritten(usize),
    More,
    Wait,
}

/// What the scan works with.
pub(super) struct Server<'a> {
    pub session: u64,
    pub statements: &'a Statements,
    /// What is prepared on the server connection; `None` without one.
    pub prepared: Option<&'a mut Prepared>,
    /// Last transaction status: `E` in a failed transaction.
    pub status: u8,
    /// Names are the client's own (transaction mode).
    pub multiplex: bool,
}

impl Frontend {
    /// In the middle of a message that is being forwarded.
    pub fn mid_message(&self) -> bool {
        self.rest > 0 && !self.rest_is_dropped
    }

    /// Scans `input`; appends to `out` what goes to the server before the run.
    pub fn scan(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        replies: &mut Replies,
        mut server: Server<'_>,
    ) -> Progress {
        let mut at = 0;
        let mut run = 0;
        let verdict = loop {
            if self.rest > 0 {
                let n = self.rest.min(input.len() - at);
                if self.rest_is_dropped {
                    out.extend_from_slice(&input[run..at]);
                    run = at + n;
                }
                at += n;
                self.rest -= n;
                if self.rest > 0 {
                    break Verdict::More;
                }
                self.rest_is_dropped = false;
            }
            let bytes = &input[at..];
            let frame = match Frame::read(bytes) {
                Ok(Some(frame)) => frame,
                Ok(None) => break Verdict::More,
                Err(_) => {
                    break Verdict::Violation(ClientError::Protocol("invalid message length"));
                }
            };
            match self.route(&frame, server.prepared.is_some()) {
                Ok(Route::Forward) => {}
                Ok(Route::Drop) => {
                    self.rest = frame.len;
                    self.rest_is_dropped = true;
                    continue;
                }
                Err(verdict) => break verdict,
            }
            let step = match server.prepared.as_deref_mut() {
                Some(prepared) if server.multiplex => {
                    let mut scan = Multiplex {
                        front: self,
                        out: Composer {
                            out,
                            run: Some(&input[run..at]),
                        },
                        replies,
                        prepared,
                        statements: server.statements,
                        session: server.session,
                        failed: server.status == b'E',
                    };
                    let step = scan.frame(&frame, bytes);
                    if scan.out.run.is_none() {
                        run = at;
                    }
                    step
                }
                _ => Ok(Step::Pass),
            };
            match step {
                Err(error) => break Verdict::Violation(error),
                Ok(Step::More) => break Verdict::More,
                Ok(Step::Wait) => break Verdict::NeedAnswers,
                Ok(Step::Pass) => {
                    self.note(&frame, replies);
                    self.rest = frame.len;
                }
                Ok(Step::Replaced) => {
                    out.extend_from_slice(&input[run..at]);
                    at += frame.len;
                    run = at;
                }
                Ok(Step::Rewritten(head)) => {
                    at += head;
                    run = at;
                    self.rest = frame.len - head;
                }
            }
        };
        Progress {
            consumed: at,
            run: run.min(at),
            verdict,
        }
    }

    /// Whether a message goes to the server at all.
    fn route(&mut self, frame: &Frame, leased: bool) -> Result<Route, Verdict> {
        match frame.tag {
            b'X' => Err(Verdict::Terminate),
            // Left over from a COPY that failed, or a Flush with nothing to
            // flush: Postgres ignores them as well.
            b'd' | b'c' | b'f' | b'H' if !leased => Ok(Route::Drop),
            b'P' | b'B' | b'D' | b'E' | b'C' | b'F' | b'Q' | b'H' | b'd' | b'c' | b'f'
                if self.skipping =>
            {
                Ok(Route::Drop)
            }
            b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'S' | b'F' if !leased => {
                Err(Verdict::NeedServer)
            }
            b'Q' | b'P' | b'B' | b'D' | b'E' | b'C' | b'S' | b'F' | b'H' | b'd' | b'c' | b'f' => {
                Ok(Route::Forward)
            }
            other => Err(Verdict::Violation(ClientError::UnknownMessage(other))),
        }
    }

    /// Notes what the server will owe for a message that passes as it is.
    fn note(&mut self, frame: &Frame, replies: &mut Replies) {
        match frame.tag {
            b'Q' => {
                self.queries += 1;
                self.batch_open = false; // a simple query ends the batch before it
                self.drop_unnamed(); // and the unnamed statement
                self.unnamed_in_batch = false;
                replies.push(Reply::Query);
            }
            b'F' => {
                self.batch_open = false;
                self.unnamed_in_batch = false;
                replies.push(Reply::Function);
            }
            b'S' => {
                if !replies.ignores_sync() {
                    self.batch_open = false;
                    self.unnamed_in_batch = false;
                    self.skipping = false;
                }
                replies.push(Reply::Sync);
            }
            b'c' | b'f' => replies.push(Reply::CopyEnd),
            b'd' | b'H' => {}
            tag => {
                self.batch_open = true;
                replies.push(match tag {
                    b'P' => Reply::ParseUnnamed,
                    b'B' => Reply::Bind(None),
                    b'D' => Reply::Describe,
                    b'C' => Reply::Close,
                    _ => {
                        self.queries += 1;
                        Reply::Execute
                    }
                });
            }
        }
    }

    /// Entries that the server passed over after an error, the latest first:
    /// what they would have changed did not happen.
    ///
    /// Of the unnamed statement, what it was before is not remembered: where a
    /// new one was passed over, there is none until the next one is parsed,
    /// while on Postgres the one before would come back.
    pub fn undo(
        &mut self,
        failed: Vec<Reply>,
        no_sync: bool,
        replies: &Replies,
        prepared: &mut Prepared,
    ) {
        if no_sync {
            // A simple query behind the failed message counted as the end of
            // the batch, but the server passes over it as well.
            self.skipping = true;
            self.batch_open = true;
        }
        for reply in failed {
            match reply {
                Reply::Parse(change) => {
                    if let Some(after) = &change.after {
                        prepared.remove(after.id);
                    }
                    self.rename(change.name, change.before);
                }
                Reply::KnownParse(change) | Reply::KnownClose(change) => {
                    self.rename(change.name, change.before);
                }
                Reply::HiddenParse(id) => prepared.remove(id),
                Reply::HiddenClose(Some(id)) => prepared.insert(id),
                // A later batch may have said already which one it will be.
                _ if replies.unnamed_pending() => {}
                Reply::ParseUnnamed => {
                    self.drop_unnamed();
                    prepared.unnamed = None;
                }
                Reply::HiddenParseUnnamed | Reply::HiddenClose(None) => prepared.unnamed = None,
                _ => {}
            }
        }
    }

    /// The server is ready again, after a Sync that was taken for one that it
    /// would ignore.
    pub fn resume(&mut self) {
        if std::mem::take(&mut self.skipping) {
            self.batch_open = false;
        }
    }

    fn drop_unnamed(&mut self) {
        self.unnamed = None;
        self.unnamed_turn += 1;
    }

    fn rename(&mut self, name: Box<[u8]>, meaning: Option<Arc<Statement>>) {
        match meaning {
            Some(statement) => self.names.insert(name, statement),
            None => self.names.remove(&name),
        };
    }

    /// DISCARD ALL or DEALLOCATE ALL was run: nothing is left but what the
    /// messages behind it make anew.
    pub fn forget_statements(&mut self, replies: &mut Replies, prepared: &mut Prepared) {
        self.names.clear();
        prepared.clear();
        for reply in replies.iter_mut() {
            match reply {
                Reply::Parse(change) | Reply::KnownParse(change) | Reply::KnownClose(change) => {
                    change.before = None;
                    self.rename(change.name.clone(), change.after.clone());
                }
                Reply::HiddenClose(id) => *id = None,
                _ => {}
            }
            match reply {
                Reply::Parse(change) => change.after.iter().for_each(|s| prepared.insert(s.id)),
                Reply::HiddenParse(id) => prepared.insert(*id),
                _ => {}
            }
        }
    }

    /// A query of pgvalet's own, whose answers the client does not see.
    pub fn ask(sql: &str, out: &mut Vec<u8>, replies: &mut Replies, prepared: &mut Prepared) {
        message::query(out, sql);
        prepared.unnamed = None; // a simple query drops it
        replies.push(Reply::HiddenQuery);
    }
}

enum Route {
    Forward,
    Drop,
}

/// Where messages are written anew. The run of messages before them, which
/// stands in the read buffer, is moved in front of the first.
struct Composer<'a> {
    out: &'a mut Vec<u8>,
    run: Option<&'a [u8]>,
}

impl Composer<'_> {
    fn begin(&mut self) -> &mut Vec<u8> {
        if let Some(run) = self.run.take() {
            self.out.extend_from_slice(run);
        }
        self.out
    }
}

/// The scan of frames that may carry a statement name.
struct Multiplex<'a> {
    front: &'a mut Frontend,
    out: Composer<'a>,
    replies: &'a mut Replies,
    prepared: &'a mut Prepared,
    statements: &'a Statements,
    session: u64,
    failed: bool,
}

impl Multiplex<'_> {
    fn frame(&mut self, frame: &Frame, bytes: &[u8]) -> Result<Step, ClientError> {
        match frame.tag {
            b'P' => self.parse(frame, bytes),
            b'B' => self.bind(frame, bytes),
            b'D' | b'C' => self.describe_or_close(frame, bytes),
            b'Q' => Ok(self.query(frame, bytes)),
            _ => Ok(Step::Pass),
        }
    }

    fn query(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        let whole = bytes.len() >= frame.len;
        if !whole && frame.len <= MAX_TEXT {
            return Step::More;
        }
        self.front
            .watch
            .look(&bytes[HEADER..bytes.len().min(frame.len)], whole);
        self.prepared.unnamed = None;
        Step::Pass
    }

    fn parse(&mut self, frame: &Frame, bytes: &[u8]) -> Result<Step, ClientError> {
        let Some(name) = cstr(&bytes[HEADER..bytes.len().min(frame.len)]) else {
            return incomplete(frame, bytes);
        };
        if name.is_empty() {
            return Ok(self.parse_unnamed(frame, bytes));
        }
        let Some(whole) = bytes.get(..frame.len) else {
            return Ok(Step::More);
        };
        // In a transaction that an earlier batch may still make fail, Parse
        // fails as well, whoever has parsed this text before.
        if self.replies.batch_pending() {
            return Ok(Step::Wait);
        }
        let body = &whole[HEADER + name.len() + 1..];
        self.front.batch_open = true;
        if self.front.names.contains_key(name) {
            // The server finds fault with a name of its own, not with one that
            // others use: should it accept the statement, nobody would know.
            let taken = self.statements.unshared(EMPTY);
            self.prepare(&taken);
            let server_name = taken.server_name();
            message::parse(self.out.begin(), &server_name, body);
            let taken = Taken {
                client_name: name.into(),
                server_name,
            };
            self.replies.push(Reply::ParseTaken(Box::new(taken)));
            return Ok(Step::Replaced);
        }
        // In a failed transaction the server has to say so itself, so it is
        // given a statement that it cannot have met.
        let statement = if self.failed {
            self.statements.unshared(body)
        } else {
            self.statements.intern(body)
        };
        let known = self.prepared.touch(statement.id);
        let before = self.front.names.insert(name.into(), statement.clone());
        let change = Box::new(Change {
            name: name.into(),
            before,
            after: Some(statement.clone()),
        });
        if known {
            self.replies.push(Reply::KnownParse(change));
        } else {
            self.make_room(statement.id);
            message::parse(self.out.begin(), &statement.server_name(), body);
            self.replies.push(Reply::Parse(change));
        }
        Ok(Step::Replaced)
    }

    /// The unnamed statement is the server's, but its text is remembered: the
    /// client may bind it again on another lease.
    fn parse_unnamed(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        let complete = bytes.len() >= frame.len;
        if !complete && frame.len <= MAX_TEXT {
            return Step::More;
        }
        self.front.unnamed_turn += 1;
        self.front.unnamed_in_batch = true;
        self.prepared.unnamed = Some(self.unnamed());
        let body = &bytes[HEADER + 1..bytes.len().min(frame.len)];
        self.front.watch.look(cstr(body).unwrap_or(body), complete);
        if complete {
            let kept = self.front.unnamed.get_or_insert_default();
            kept.clear();
            kept.extend_from_slice(body);
        } else {
            self.front.unnamed = None;
        }
        Step::Pass
    }

    fn bind(&mut self, frame: &Frame, bytes: &[u8]) -> Result<Step, ClientError> {
        let body = &bytes[HEADER..bytes.len().min(frame.len)];
        let Some(portal) = cstr(body) else {
            return incomplete(frame, bytes);
        };
        let Some(name) = cstr(&body[portal.len() + 1..]) else {
            return incomplete(frame, bytes);
        };
        if name.is_empty() {
            return Ok(self.restore_unnamed());
        }
        if self.replies.change_pending() {
            return Ok(Step::Wait);
        }
        let Some(statement) = self.front.names.get(name).cloned() else {
            // Made by SQL's PREPARE, or unknown: the server knows which.
            return Ok(Step::Pass);
        };
        self.prepare(&statement);
        if let Some(suspicion) = &statement.suspicion {
            self.front.watch.raise(suspicion);
        }
        self.front.batch_open = true;
        let head = HEADER + portal.len() + 1 + name.len() + 1;
        let out = self.out.begin();
        out.push(b'B');
        let length_at = out.len();
        out.extend([0; 4]);
        out.extend_from_slice(portal);
        out.push(0);
        statement_name(statement.id, out);
        out.push(0);
        let length = (out.len() - length_at) + (frame.len - head);
        out[length_at..length_at + 4].copy_from_slice(&(length as u32).to_be_bytes());
        self.replies.push(Reply::Bind(Some(statement)));
        Ok(Step::Rewritten(head))
    }

    fn describe_or_close(&mut self, frame: &Frame, bytes: &[u8]) -> Result<Step, ClientError> {
        let Some(whole) = bytes.get(..frame.len) else {
            return incomplete(frame, bytes);
        };
        let Some((&kind, rest)) = whole[HEADER..].split_first() else {
            return Ok(Step::Pass);
        };
        let Some(name) = cstr(rest) else {
            return Ok(Step::Pass);
        };
        match (frame.tag, kind) {
            (b'D', b'S') if name.is_empty() => Ok(self.restore_unnamed()),
            (_, b'S') if !name.is_empty() && self.replies.change_pending() => Ok(Step::Wait),
            (b'D', b'S') => {
                let Some(statement) = self.front.names.get(name).cloned() else {
                    return Ok(Step::Pass);
                };
                self.prepare(&statement);
                message::describe_statement(self.out.begin(), &statement.server_name());
                self.front.batch_open = true;
                self.replies.push(Reply::Describe);
                Ok(Step::Replaced)
            }
            (_, b'S') if name.is_empty() => {
                self.front.drop_unnamed();
                self.prepared.unnamed = None;
                Ok(Step::Pass)
            }
            (_, b'S') => {
                let Some(before) = self.front.names.remove(name) else {
                    return Ok(Step::Pass);
                };
                self.front.batch_open = true;
                let change = Change {
                    name: name.into(),
                    before: Some(before),
                    after: None,
                };
                self.replies.push(Reply::KnownClose(Box::new(change)));
                Ok(Step::Replaced)
            }
            _ => Ok(Step::Pass),
        }
    }

    /// Makes sure that the server has a statement.
    fn prepare(&mut self, statement: &Statement) {
        if self.prepared.touch(statement.id) {
            return;
        }
        self.make_room(statement.id);
        message::parse(self.out.begin(), &statement.server_name(), &statement.body);
        self.replies.push(Reply::HiddenParse(statement.id));
    }

    fn make_room(&mut self, id: u64) {
        while let Some(evicted) = self.prepared.evict() {
            message::close_statement(self.out.begin(), &crate::pool::server_name(evicted));
            self.replies.push(Reply::HiddenClose(Some(evicted)));
        }
        self.prepared.insert(id);
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
        if self.prepared.unnamed != Some(wanted) {
            let out = self.out.begin();
            if let Some(body) = &self.front.unnamed {
                message::parse(out, "", body);
                self.replies.push(Reply::HiddenParseUnnamed);
            } else {
                // It has none, so it must not get another client's.
                message::close_statement(out, "");
                self.replies.push(Reply::HiddenClose(None));
            }
            self.prepared.unnamed = Some(wanted);
            self.front.unnamed_in_batch = true;
        }
        Step::Pass
    }
}

/// A frame of which more is needed, unless that is absurd.
fn incomplete(frame: &Frame, bytes: &[u8]) -> Result<Step, ClientError> {
    if bytes.len() >= frame.len {
        return Ok(Step::Pass); // malformed: the server says it best
    }
    if bytes.len() > MAX_NAMES {
        return Err(ClientError::Protocol("statement or portal name too long"));
    }
    Ok(Step::More)
}
