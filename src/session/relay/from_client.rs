//! The client's messages on their way to the server.
//!
//! Frames are scanned where they lie. Most pass as they are, and a run of them is one slice of
//! the read buffer. Only messages that carry a statement name are written anew, because the
//! name is the client's own and the server knows another.

mod account;
mod bind;
mod copies;
mod deallocate;
mod listens;
mod multiplex;
mod names;
mod parse;
mod plans;
mod portable;
mod refusal;
mod restore;
mod route;
mod statements;
mod vacancy;
mod watch;

pub(super) use listens::{Listens, Restored};
pub(super) use portable::PortableClient;
pub(super) use restore::AtReady;
pub(in crate::session) use watch::Watch;

use super::cursor::{Cursor, Passing};
use super::replies::{Replies, Sets};
use crate::pool::{Prepared, Profile, Statements};
use crate::wire::ClientError;
use crate::wire::frame::Frame;
use crate::wire::sql::{Tail, Vacancy};
use crate::wire::tag::frontend as tag;
use multiplex::{Composer, Multiplex};
use names::Names;
use plans::Reuse;
use restore::Restore;
use route::{Refused, Route};
use statements::{Copying, Special, Unnamed};

/// The state of the client's side.
#[derive(Default)]
pub(super) struct FromClient {
    passing: Passing,
    /// The message that is passing is a text that is too long to wait for.
    text: Option<Box<Tail>>,
    /// The client's named statements.
    names: Names,
    /// Its last unnamed Parse.
    unnamed: Option<Box<Unnamed>>,
    /// Which one that is: a server connection may still hold an earlier one.
    unnamed_turn: u64,
    /// What running the unnamed statement means for settings.
    unnamed_sets: Sets,
    /// What running the unnamed portal means for settings.
    portal_sets: Sets,
    /// What running the message that is being scanned means for settings.
    sets: Sets,
    /// A copy of a statement that is being made for a message that waits.
    copying: Copying,
    /// Messages of the extended protocol were sent and no Sync after them.
    pub batch_open: bool,
    /// The last of them was a Flush: they are answered without a Sync.
    pub flushed: bool,
    /// The batch has parsed, or bound, the unnamed statement: it is this client's.
    unnamed_in_batch: bool,
    /// An Execute was sent in this batch, so that the settings may be others now.
    ran_in_batch: bool,
    /// The server passes over everything up to Sync, and so does this side.
    skipping: bool,
    /// What the next statement needs was seen to (see [`Verdict::Vacate`]).
    pub vacated: bool,
    /// What was refused while there was no server connection.
    refused: Refused,
    /// Syncs of refused batches, which pgvalet has to answer.
    pub refused_batches: usize,
    pub queries: u64,
    /// Statements of the last simple query, at most.
    pub statements: usize,
    pub watch: Watch,
    pub listens: Listens,
    /// A text that resets what the client brought is on its way, or was run.
    restore: Option<Box<Restore>>,
    special: Option<Box<Special>>,
    /// `None` for a client for which no copy has ever stood.
    reuse: Option<Box<Reuse>>,
    /// One of the statements that it has parsed may make a table.
    makes_tables: bool,
}

/// What a scan needs to know of the session and its server connection.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// The session's id.
    pub session: u64,
    pub statements: &'a Statements,
    /// Names are the client's own (transaction mode).
    pub multiplex: bool,
    /// What the client brought at start-up.
    pub initial: &'a Profile,
    /// What the client expects to be in force.
    pub profile: &'a Profile,
    /// The defaults of the server connection's login.
    pub defaults: u64,
    /// Queries have a time limit, so that statements have to be counted.
    pub limits: bool,
    /// The profile alone does not tell what is in force: neither the role nor other state.
    pub pinned: bool,
}

/// What became of the input.
pub(super) struct Progress {
    /// Bytes dealt with; the others have to be offered again.
    pub consumed: usize,
    /// Where in the input the run begins that goes to the server behind what was written to
    /// the buffer; it ends at `consumed`.
    pub run: usize,
    pub verdict: Verdict,
}

/// Why the scan did not go on.
pub(super) enum Verdict {
    /// The rest needs more bytes.
    More,
    /// The rest needs a server connection.
    NeedServer,
    /// The rest depends on answers that are under way: what a name means is not known until an
    /// earlier batch has succeeded or failed.
    NeedAnswers,
    /// The rest begins with a statement for which nobody else may be connected to this
    /// database.
    Vacate(Box<str>),
    Terminate,
    Violation(ClientError),
}

/// What becomes of a frame.
enum Step {
    /// The frame goes on as it is.
    Pass,
    /// The frame is not sent; what takes its place has been written.
    Replaced,
    /// The frame was replaced before it fully arrived; its remaining bytes are skipped.
    Refused,
    /// The first bytes of the frame, this many, were written anew; the rest goes on as it is.
    Rewritten(usize),
    /// More of the frame has to arrive first.
    More,
    /// The frame has to wait for answers.
    Wait,
}

/// So much of a text is inspected to count its statements.
const MAX_COUNTED: usize = 1 << 16;

const INVALID_LENGTH: ClientError = ClientError::Protocol("invalid message length");

/// Whether a message is longer than Postgres accepts for its kind, upon which it hangs up
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

impl FromClient {
    /// Whether a message is being sent on and the rest of it is still to come.
    pub fn is_in_message(&self) -> bool {
        self.passing.is_in_message()
    }

    /// Scans `input`; appends to `out` what goes to the server before the run. `prepared`: what
    /// is prepared on the server connection, `None` without one; `status`: the transaction
    /// status of the last ReadyForQuery.
    pub fn scan(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        replies: &mut Replies,
        mut prepared: Option<&mut Prepared>,
        status: u8,
        view: View<'_>,
    ) -> Progress {
        let mut cursor = Cursor::new(input);
        let verdict = loop {
            if !self.advance(&mut cursor, out) {
                break Verdict::More;
            }
            let bytes = cursor.rest();
            let frame = match self.next(bytes, replies, prepared.is_some(), &view) {
                Ok(Some((frame, Route::Forward))) => frame,
                Ok(Some((frame, Route::Drop))) => {
                    self.passing.drop(frame.len);
                    continue;
                }
                Ok(None) => break Verdict::More,
                Err(verdict) => break verdict,
            };
            if !view.multiplex {
                self.look_for_holds(&frame, bytes);
                if view.statements.plans.ddl.is_watched() {
                    self.look_for_tables(&frame, bytes);
                }
            }
            let step = match prepared.as_deref_mut() {
                // What comes now makes a COPY fail, and is no more than that.
                Some(_) if replies.is_copying_in() => Step::Pass,
                Some(prepared) if view.multiplex => {
                    let cursor = &mut cursor;
                    let mut multiplex = Multiplex {
                        client: self,
                        out: Composer { out, cursor },
                        replies,
                        prepared,
                        status,
                        view: &view,
                    };
                    multiplex.frame(&frame, bytes)
                }
                Some(_) if !view.initial.settings().is_empty() => {
                    self.look_for_resets(&frame, bytes, view.initial)
                }
                _ => Step::Pass,
            };
            match step {
                Step::More => break Verdict::More,
                Step::Wait => break Verdict::NeedAnswers,
                Step::Pass => {
                    self.note(&frame, replies);
                    self.passing.pass(frame.len);
                }
                Step::Replaced => cursor.drop(frame.len, out),
                Step::Refused => self.passing.drop(frame.len),
                Step::Rewritten(head) => {
                    cursor.drop(head, out);
                    self.passing.pass(frame.len - head);
                }
            }
        };
        Progress {
            consumed: cursor.consumed(),
            run: cursor.run_start(),
            verdict,
        }
    }

    /// Moves over what has arrived of the message that is passing. `false`: more of it is to
    /// come.
    #[inline]
    fn advance(&mut self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> bool {
        if self.passing.is_done() {
            return true;
        }
        if let Some(text) = &mut self.text {
            let arrived = &cursor.rest()[..self.passing.arrived(cursor)];
            self.watch.hidden_setting |= text.may_set(arrived);
        }
        let done = self.passing.advance(cursor, out);
        if done {
            self.text = None;
        }
        done
    }

    /// The next frame, and where it goes; `None` where more bytes are needed.
    ///
    /// # Errors
    /// Why the frame is not dealt with now.
    #[inline]
    fn next(
        &mut self,
        bytes: &[u8],
        replies: &Replies,
        leased: bool,
        view: &View<'_>,
    ) -> Result<Option<(Frame, Route)>, Verdict> {
        let frame = match Frame::read(bytes) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(None),
            Err(_) => return Err(Verdict::Violation(INVALID_LENGTH)),
        };
        if replies.is_fencing() || self.may_send_again() {
            return Err(Verdict::NeedAnswers);
        }
        if is_too_long(&frame) {
            return Err(Verdict::Violation(INVALID_LENGTH));
        }
        if view.limits && frame.tag == tag::QUERY {
            let seen = &bytes[..bytes.len().min(frame.len).min(MAX_COUNTED)];
            self.statements = memchr::memchr_iter(b';', seen).count() + 1;
        }
        let route = self.route(&frame, leased);
        if matches!(route, Ok(Route::Forward) | Err(Verdict::NeedServer)) {
            match self.vacancy(&frame, bytes) {
                Vacancy::Nothing => {}
                Vacancy::Unknown => return Ok(None),
                Vacancy::Of(database) => return Err(Verdict::Vacate(database)),
            }
        }
        let route = route?;
        self.vacated = false;
        if matches!(route, Route::Forward) && self.restore.is_some() && self.holds_back(replies) {
            return Err(Verdict::NeedAnswers);
        }
        Ok(Some((frame, route)))
    }
}
