//! The client's messages on their way to the server.
//!
//! Frames are scanned where they lie. Most pass as they are, and a run of
//! them is one slice of the read buffer; only messages that carry a statement
//! name are written anew, because the name is the client's own and the server
//! knows another.

mod deallocate;
mod listens;
mod multiplex;
mod names;
mod restore;
mod watch;

pub(super) use listens::{Listens, Restored};
pub(super) use restore::AtReady;
pub(super) use watch::Watch;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::replies::{Named, Replies, Reply, Sets};
use crate::pool::{ParseSettings, Prepared, Profile, Statement, Statements};
use crate::wire::ClientError;
use crate::wire::frame::Frame;
use crate::wire::sql::{Resets, Suspicion, Tail};
use crate::wire::tag::frontend as tag;
use deallocate::Bound;
use multiplex::{Composer, Multiplex};
use names::Names;
use restore::Restore;

#[derive(Default)]
pub(super) struct Frontend {
    /// The client's named statements.
    names: Names,
    /// Its last unnamed Parse.
    unnamed: Option<Box<Unnamed>>,
    /// What running that means for settings.
    unnamed_sets: Sets,
    /// What running the unnamed portal means for them.
    portal_sets: Sets,
    /// And what the next message does that is noted.
    sets: Sets,
    /// An Execute was sent in this batch: the settings may be others now.
    ran_in_batch: bool,
    /// A copy of a statement that is being made for a message that waits.
    copying: Copying,
    /// Which one that is: a server connection may still hold an earlier one.
    unnamed_turn: u64,
    /// Bytes of the current message that are still to come.
    rest: usize,
    rest_is_dropped: bool,
    /// They are those of a text that is too long to wait for.
    text: Option<Box<Tail>>,
    /// Extended-protocol messages were sent and no Sync after them.
    pub batch_open: bool,
    /// The last of them was a Flush: they are answered without a Sync.
    pub flushed: bool,
    /// It holds the unnamed statement that its messages mean.
    unnamed_in_batch: bool,
    /// The server passes over everything up to Sync, and so does this side.
    skipping: bool,
    /// What was refused while there was no server connection.
    refused: Refused,
    /// Syncs of refused batches, which are to be answered here.
    pub refused_batches: usize,
    pub queries: u64,
    /// Statements of the last simple query, at the most.
    pub statements: usize,
    pub watch: Watch,
    pub listens: Listens,
    /// What the client brought has been reset.
    pub restore: Option<Box<Restore>>,
    special: Option<Box<Special>>,
}

/// A copy of a statement on another server connection than the one on which the
/// client has parsed it: it has to have the same columns, or the client would
/// take the values of one type for those of another.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Copying {
    #[default]
    No,
    /// The statement with this id.
    Asked(u64),
    /// It is what it was.
    Same(u64),
    /// It is not: Postgres would say so to whoever uses an outdated plan.
    Changed(u64),
}

/// An unnamed statement, to be parsed again on other server connections.
#[derive(Default)]
struct Unnamed {
    body: Vec<u8>,
    /// The settings under which it was parsed, where they are known.
    settings: Option<ParseSettings>,
    /// What running it gives reason to suspect.
    suspicion: Option<Box<Suspicion>>,
}

/// Of statements that reset or deallocate something: few clients have any.
#[derive(Default)]
struct Special {
    /// What is suspected of the unnamed statement.
    unnamed: Option<Box<Suspicion>>,
    /// By name, in session mode; elsewhere it is the statement that tells.
    resetting: BTreeMap<Box<[u8]>, Resets>,
    /// Portals in which a DEALLOCATE is bound.
    deallocating: BTreeMap<Box<[u8]>, Bound>,
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
    /// The same, of a message that need not be here yet: it is passed over.
    Refused,
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
    /// What the client brought at start-up.
    pub initial: &'a Profile,
    /// What it expects to be in force.
    pub profile: &'a Profile,
    /// The defaults of the server connection's login.
    pub defaults: u64,
    /// Queries have a limit of time, so that it counts how many statements run.
    pub limits: bool,
    /// Neither the role nor anything else that is in force is known by the
    /// profile alone.
    pub pinned: bool,
}

/// So much of a text is looked at to count its statements.
const MAX_LOOK: usize = 1 << 16;

/// Messages of these kinds are small, or the server hangs up
/// (PQ_SMALL_MESSAGE_LIMIT, pqcomm.h).
fn is_too_long(frame: &Frame) -> bool {
    const SMALL: usize = 10_000;
    frame.len > SMALL + 1
        && matches!(
            frame.tag,
            tag::CLOSE
                | tag::DESCRIBE
                | tag::EXECUTE
                | tag::FLUSH
                | tag::SYNC
                | tag::COPY_DONE
                | tag::COPY_FAIL
        )
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
                if let Some(text) = &mut self.text {
                    self.watch.hidden_setting |= text.may_set(&input[at..at + n]);
                }
                at += n;
                self.rest -= n;
                if self.rest > 0 {
                    break Verdict::More;
                }
                self.rest_is_dropped = false;
                self.text = None;
            }
            let bytes = &input[at..];
            let frame = match Frame::read(bytes) {
                Ok(Some(frame)) => frame,
                Ok(None) => break Verdict::More,
                Err(_) => {
                    break Verdict::Violation(ClientError::Protocol("invalid message length"));
                }
            };
            if replies.is_fencing() {
                break Verdict::NeedAnswers;
            }
            if is_too_long(&frame) {
                break Verdict::Violation(ClientError::Protocol("invalid message length"));
            }
            if server.limits && frame.tag == tag::QUERY {
                let seen = &bytes[..bytes.len().min(frame.len).min(MAX_LOOK)];
                self.statements = memchr::memchr_iter(b';', seen).count() + 1;
            }
            match self.route(&frame, server.prepared.is_some()) {
                Ok(Route::Forward) => {}
                Ok(Route::Drop) => {
                    self.rest = frame.len;
                    self.rest_is_dropped = true;
                    continue;
                }
                Err(verdict) => break verdict,
            }
            if self.restore.is_some() && self.holds_back(replies) {
                break Verdict::NeedAnswers;
            }
            let step = match server.prepared.as_deref_mut() {
                // What comes now makes a COPY fail, and is no more than that.
                Some(_) if replies.is_copying_in() => Step::Pass,
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
                        status: server.status,
                        initial: server.initial,
                        profile: server.profile,
                        defaults: server.defaults,
                        pinned: server.pinned,
                    };
                    let step = scan.frame(&frame, bytes);
                    if scan.out.run.is_none() {
                        run = at;
                    }
                    step
                }
                Some(_) if !server.initial.settings().is_empty() => {
                    self.look_for_resets(&frame, bytes, server.initial)
                }
                _ => Step::Pass,
            };
            match step {
                Step::More => break Verdict::More,
                Step::Wait => break Verdict::NeedAnswers,
                Step::Pass => {
                    self.note(&frame, replies);
                    self.rest = frame.len;
                }
                Step::Replaced => {
                    out.extend_from_slice(&input[run..at]);
                    at += frame.len;
                    run = at;
                }
                Step::Refused => {
                    self.rest = frame.len;
                    self.rest_is_dropped = true;
                }
                Step::Rewritten(head) => {
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

    /// The next message, which begins with this tag, is answered by an error.
    /// `true`: that is all of it; else everything up to Sync is passed over.
    pub fn refuse(&mut self, tag: u8) -> bool {
        let alone = matches!(tag, tag::QUERY | tag::FUNCTION_CALL | tag::SYNC);
        self.refused = if alone {
            Refused::Message
        } else {
            Refused::Batch
        };
        alone
    }

    /// Whether a message goes to the server at all.
    fn route(&mut self, frame: &Frame, leased: bool) -> Result<Route, Verdict> {
        match (self.refused, frame.tag) {
            (Refused::No, _) | (_, tag::TERMINATE) => {}
            (Refused::Message, _) => {
                self.refused = Refused::No;
                return Ok(Route::Drop);
            }
            (Refused::Batch, tag) => {
                if tag == tag::SYNC {
                    self.refused = Refused::No;
                    self.refused_batches += 1;
                }
                return Ok(Route::Drop);
            }
        }
        match frame.tag {
            tag::TERMINATE => Err(Verdict::Terminate),
            // Left over from a COPY that failed, or a Flush with nothing to
            // flush: Postgres ignores them as well.
            tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL | tag::FLUSH if !leased => {
                Ok(Route::Drop)
            }
            tag::PARSE
            | tag::BIND
            | tag::DESCRIBE
            | tag::EXECUTE
            | tag::CLOSE
            | tag::FUNCTION_CALL
            | tag::QUERY
            | tag::FLUSH
            | tag::COPY_DATA
            | tag::COPY_DONE
            | tag::COPY_FAIL
                if self.skipping =>
            {
                Ok(Route::Drop)
            }
            tag::QUERY
            | tag::PARSE
            | tag::BIND
            | tag::DESCRIBE
            | tag::EXECUTE
            | tag::CLOSE
            | tag::SYNC
            | tag::FUNCTION_CALL
                if !leased =>
            {
                Err(Verdict::NeedServer)
            }
            tag::QUERY
            | tag::PARSE
            | tag::BIND
            | tag::DESCRIBE
            | tag::EXECUTE
            | tag::CLOSE
            | tag::SYNC
            | tag::FUNCTION_CALL
            | tag::FLUSH
            | tag::COPY_DATA
            | tag::COPY_DONE
            | tag::COPY_FAIL => Ok(Route::Forward),
            other => Err(Verdict::Violation(ClientError::UnknownMessage(other))),
        }
    }

    /// Notes what the server will owe for a message that passes as it is.
    fn note(&mut self, frame: &Frame, replies: &mut Replies) {
        let sets = std::mem::take(&mut self.sets);
        if replies.is_copying_in()
            && !matches!(
                frame.tag,
                tag::COPY_DONE | tag::COPY_FAIL | tag::COPY_DATA | tag::FLUSH
            )
        {
            return replies.push(Reply::Sync);
        }
        match frame.tag {
            tag::QUERY => {
                self.queries += 1;
                self.batch_open = false; // a simple query ends the batch before it
                self.names.settle();
                self.drop_unnamed(); // and the unnamed statement
                self.unnamed_in_batch = false;
                self.ran_in_batch = false;
                replies.push(Reply::Query(sets));
            }
            tag::FUNCTION_CALL => {
                self.batch_open = false;
                self.unnamed_in_batch = false;
                self.ran_in_batch = false;
                replies.push(Reply::Function);
            }
            tag::SYNC => {
                self.batch_open = false;
                self.names.settle();
                self.unnamed_in_batch = false;
                self.ran_in_batch = false;
                self.skipping = false;
                // What a Bind of the next batch does to it shows when that is
                // answered.
                self.portal_sets = Sets::Maybe;
                replies.push(Reply::Sync);
            }
            tag::COPY_DONE | tag::COPY_FAIL => replies.push(Reply::CopyEnd),
            tag::FLUSH => self.flushed = true,
            tag::COPY_DATA => {}
            tag => {
                self.flushed = false;
                self.batch_open = true;
                replies.push(match tag {
                    tag::PARSE => Reply::ParseUnnamed,
                    tag::BIND => Reply::Bind(None),
                    tag::DESCRIBE => Reply::Describe(0),
                    tag::CLOSE => Reply::Close(None),
                    _ => {
                        self.queries += 1;
                        self.ran_in_batch = true;
                        Reply::Execute(sets)
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
        self.copying = Copying::No;
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
                        prepared.remove_number(after.since);
                    }
                    self.rename(change.name, change.before);
                }
                Reply::Close(Some(change)) => self.rename(change.name, change.before),
                Reply::Deallocate(d) => self.rename(d.change.name, d.change.before),
                Reply::HiddenParse(copy) => prepared.remove_number(copy.number),
                Reply::HiddenClose(Some(evicted)) => prepared.restore(evicted),
                // A later batch may have said already which one it will be.
                _ if replies.unnamed_pending() => {}
                Reply::ParseUnnamed => {
                    self.drop_unnamed();
                    prepared.forget_unnamed();
                }
                Reply::HiddenParseUnnamed | Reply::HiddenCloseUnnamed => {
                    prepared.forget_unnamed();
                }
                _ => {}
            }
        }
    }

    /// The server is ready again, after a Sync that was taken for one that it
    /// would ignore. `all`: nothing else is awaited.
    pub fn resume(&mut self, all: bool) {
        if std::mem::take(&mut self.skipping) || all {
            self.batch_open = false;
        }
    }

    /// What was about to happen on the server connection is forgotten.
    pub fn lease_ends(&mut self) {
        self.restore = None;
        self.copying = Copying::No;
        self.watch.touched = false;
        if let Some(special) = &mut self.special {
            special.deallocating.clear();
        }
    }

    /// Keeps in mind what the unnamed statement does, where that matters.
    fn suspect_unnamed(&mut self, suspicion: Option<Box<Suspicion>>) {
        let unnamed = suspicion.filter(|s| s.resets.is_some() || s.deallocates.is_some());
        if unnamed.is_some() || self.special.is_some() {
            self.special.get_or_insert_default().unnamed = unnamed;
        }
    }

    fn drop_unnamed(&mut self) {
        self.unnamed = None;
        self.suspect_unnamed(None);
        self.unnamed_turn += 1;
    }

    /// The statement that a name stands for was found to be the same as another.
    pub fn is_same(&mut self, name: &[u8], parsed: &Arc<Statement>, same: &Arc<Statement>) {
        self.names.is_same(name, parsed, same);
    }

    /// A copy was made; `same`: it has the columns that the client knows.
    pub fn is_verified(&mut self, same: bool) {
        if let Copying::Asked(id) = self.copying {
            self.copying = match same {
                true => Copying::Same(id),
                false => Copying::Changed(id),
            };
        }
    }

    /// What the client keeps by name, in bytes.
    pub fn kept(&self) -> u64 {
        self.names.bytes()
    }

    /// The settings that were in force when statements were parsed of which that
    /// was not known.
    pub fn parsed_under(&self, settings: &ParseSettings) {
        for statement in self.names.statements() {
            statement.settings.get_or_init(|| settings.clone());
        }
    }

    fn rename(&mut self, name: Box<[u8]>, meaning: Option<Named>) {
        match meaning {
            Some(named) => self.names.insert(name, named),
            None => self.names.remove(&name),
        };
    }

    /// DISCARD ALL or DEALLOCATE ALL was run: nothing is left but what the
    /// messages behind it make anew.
    pub fn forget_statements(&mut self, replies: &mut Replies, prepared: &mut Prepared) {
        self.names.clear();
        prepared.clear();
        if !replies.has_changes() {
            return;
        }
        for reply in replies.iter_mut() {
            match reply {
                Reply::Parse(change) | Reply::Close(Some(change)) => {
                    change.before = None;
                    self.rename(change.name.clone(), change.after.clone());
                }
                Reply::Deallocate(d) => {
                    d.change.before = None;
                    self.names.remove(&d.change.name);
                }
                Reply::HiddenClose(copy) => *copy = None,
                _ => {}
            }
            match reply {
                Reply::Parse(change) => {
                    if let Some(after) = &change.after {
                        prepared.insert(after.statement.id, after.since);
                    }
                }
                Reply::HiddenParse(copy) => prepared.insert(copy.id, copy.number),
                _ => {}
            }
        }
    }

    /// A query of pgvalet's own, whose answers the client does not see.
    pub fn ask(sql: &str, out: &mut Vec<u8>, replies: &mut Replies, prepared: &mut Prepared) {
        prepared.query(sql, out);
        replies.push(Reply::HiddenQuery);
    }
}

#[derive(Debug, Default, Clone, Copy)]
enum Refused {
    #[default]
    No,
    Message,
    Batch,
}

enum Route {
    Forward,
    Drop,
}
