//! The walk over what a client has sent, frame by frame.

use super::multiplex::{Composer, Multiplex};
use super::route::Route;
use super::{FromClient, View};
use crate::pool::Prepared;
use crate::session::relay::cursor::Cursor;
use crate::session::relay::replies::Replies;
use crate::wire::ClientError;
use crate::wire::frame::Frame;
use crate::wire::sql::Vacancy;
use crate::wire::tag::frontend as tag;

/// What became of the input.
pub(in crate::session::relay) struct Progress {
    /// Bytes dealt with; the others have to be offered again.
    pub consumed: usize,
    /// Where in the input the run begins that goes to the server behind what was written to
    /// the buffer; it ends at `consumed`.
    pub run: usize,
    pub verdict: Verdict,
}

/// Why the scan did not go on.
pub(in crate::session::relay) enum Verdict {
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
pub(super) enum Step {
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

/// The beginning of a text that is inspected to count its statements.
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
                self.look_for_what_stays(&frame, bytes, &view);
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
            if let Err(verdict) = self.take(step, &frame, &mut cursor, out, replies) {
                break verdict;
            }
        };
        Progress {
            consumed: cursor.consumed(),
            run: cursor.run_start(),
            verdict,
        }
    }

    /// Has a frame go on, or leaves it out.
    ///
    /// # Errors
    /// Why the scan cannot go on.
    #[inline]
    fn take(
        &mut self,
        step: Step,
        frame: &Frame,
        cursor: &mut Cursor<'_>,
        out: &mut Vec<u8>,
        replies: &mut Replies,
    ) -> Result<(), Verdict> {
        match step {
            Step::More => return Err(Verdict::More),
            Step::Wait => return Err(Verdict::NeedAnswers),
            Step::Pass => {
                self.note(frame, replies);
                self.passing.pass(frame.len);
            }
            Step::Replaced => cursor.drop(frame.len, out),
            Step::Refused => self.passing.drop(frame.len),
            Step::Rewritten(head) => {
                cursor.drop(head, out);
                self.passing.pass(frame.len - head);
            }
        }
        Ok(())
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
        // What the client says must not run unless the settings in front of it are in force.
        if replies.is_fencing() || replies.is_setting_up() || self.may_send_again() {
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
