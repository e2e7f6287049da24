//! Setting anew what a client brought at start-up, after a RESET. On a server connection that
//! others use too, RESET leads to what the login gave; so pgvalet sets what the client brought
//! before it tells the client that the server is ready.
//!
//! Words in a text raise the suspicion, and messages behind it wait; the command tag decides.

use super::{FromClient, Step};
use crate::pool::Profile;
use crate::session::relay::replies::Replies;
use crate::upstream::Reported;
use crate::wire::frame::{Frame, HEADER, cstr};
use crate::wire::message;
use crate::wire::sql::{Resets, resets};
use crate::wire::tag::{frontend as tag, status};

/// The beginning of a text that is inspected in session mode. What stands behind that shows in the
/// command tag, except SET … TO DEFAULT.
const LOOK: usize = 1024;
/// The number of statements that reset which are remembered by name.
const MAX_STATEMENTS: usize = 64;

/// A reset on its way to the server and back.
pub(in crate::session::relay) struct Restore {
    what: Resets,
    stage: Stage,
    /// A text with a reset was sent while the values could not be set.
    again: bool,
    /// Settings that the server has reported since, with the values that the client knows.
    told: Vec<(Box<str>, Option<Box<str>>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A text was sent whose reset does not concern what the client brought.
    Foreign,
    /// A text was sent whose reset concerns what the client brought.
    Sent,
    /// The server has run the text.
    Due,
    /// Values are being set, and the client's ReadyForQuery waits for that.
    UnderWay,
    /// The transaction failed, and whether the reset was undone with it shows later; or the
    /// values could not be set at once.
    Later,
}

/// What becomes of a ReadyForQuery.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::session::relay) enum AtReady {
    /// The message passes.
    Pass,
    /// The message waits until the values are set.
    HoldBack,
    /// The message passes, and the reports of what has changed go before it.
    Tell,
}

impl Restore {
    fn new(what: Resets, stage: Stage) -> Box<Self> {
        Box::new(Self {
            what,
            stage,
            again: false,
            told: Vec::new(),
        })
    }
}

impl FromClient {
    /// Notes that a text is sent which may reset what the client brought.
    pub(super) fn may_reset(&mut self, resets: &Resets, own: &Profile) {
        let touched = own.is_touched_by(resets);
        match &mut self.restore {
            Some(_) if !touched => {}
            Some(restore) if restore.stage != Stage::Foreign => {
                if restore.what != *resets {
                    restore.what = Resets::Some;
                }
                restore.again = restore.stage == Stage::Later;
            }
            _ => {
                let stage = if touched { Stage::Sent } else { Stage::Foreign };
                self.restore = Some(Restore::new(resets.clone(), stage));
            }
        }
    }

    /// Notes what the statement resets that now has this name.
    fn note_parsed(&mut self, name: &[u8], resets: Option<Resets>) {
        match resets {
            Some(resets) => {
                let known = &mut self.special.get_or_insert_default().resetting;
                if known.len() < MAX_STATEMENTS {
                    known.insert(name.into(), resets);
                }
            }
            None => {
                if let Some(special) = &mut self.special {
                    special.resetting.remove(name);
                }
            }
        }
    }

    /// Notes that the statement with this name is bound.
    fn note_bound(&mut self, name: &[u8], own: &Profile) {
        let known = self.special.as_ref();
        if let Some(resets) = known.and_then(|known| known.resetting.get(name)).cloned() {
            self.may_reset(&resets, own);
        }
    }

    /// Inspects a message in session mode, where nothing else is inspected.
    pub(super) fn look_for_resets(&mut self, frame: &Frame, bytes: &[u8], own: &Profile) -> Step {
        let of_interest = match frame.tag {
            tag::QUERY | tag::PARSE => true,
            tag::BIND => self.special.is_some(),
            _ => false,
        };
        if !of_interest {
            return Step::Pass;
        }
        let Some(seen) = bytes.get(..frame.len.min(LOOK)) else {
            return Step::More;
        };
        let body = &seen[HEADER.min(seen.len())..];
        if frame.tag == tag::QUERY {
            let resets = resets(body);
            self.sets.may_reset = resets.is_some() || seen.len() < frame.len;
            if let Some(resets) = resets {
                self.may_reset(&resets, own);
            }
            return Step::Pass;
        }
        // A Parse begins with the statement's name, a Bind with the portal's.
        let Some(first) = cstr(body) else {
            return Step::Pass;
        };
        let rest = &body[first.len() + 1..];
        if frame.tag == tag::PARSE {
            self.note_parsed(first, resets(cstr(rest).unwrap_or(rest)));
        } else if let Some(name) = cstr(rest) {
            self.note_bound(name, own);
        }
        Step::Pass
    }

    /// Whether what the client sends waits until what was reset is set anew. Messages do not wait
    /// that the server needs to get that far.
    pub(super) fn holds_back(&self, replies: &Replies) -> bool {
        let Some(restore) = &self.restore else {
            return false;
        };
        let needed = self.batch_open || replies.is_copying_in();
        let awaited = restore.again || !matches!(restore.stage, Stage::Foreign | Stage::Later);
        awaited && !needed
    }

    /// Notes a command tag that says that the reset has happened.
    pub(in crate::session::relay) fn note_reset(&mut self, tag: &[u8], own: &Profile) {
        match &mut self.restore {
            Some(restore) if matches!(restore.stage, Stage::Sent | Stage::Later) => {
                restore.stage = Stage::Due;
            }
            Some(_) => {}
            // The text did not show it.
            None if tag != b"SET" && own.is_touched_by(&Resets::All) => {
                self.restore = Some(Restore::new(Resets::Some, Stage::Due));
            }
            None => {}
        }
    }

    /// Handles ParameterStatus; `before`: what was reported last. `true`: the message is held
    /// back until the values are set.
    pub(in crate::session::relay) fn hold_report(
        &mut self,
        name: &str,
        before: Option<&str>,
    ) -> bool {
        let Some(restore) = &mut self.restore else {
            return false;
        };
        if matches!(restore.stage, Stage::Foreign | Stage::Sent) {
            return false;
        }
        if !restore.told.iter().any(|(known, _)| **known == *name) {
            restore.told.push((name.into(), before.map(Into::into)));
        }
        true
    }

    /// Handles ReadyForQuery. `last`: the server owes nothing else. `own`: the message ends the
    /// setting of the values.
    pub(in crate::session::relay) fn restore_at_ready(
        &mut self,
        status: u8,
        last: bool,
        own: bool,
    ) -> AtReady {
        // Nothing can be put into the middle of a message.
        let must_wait = status == status::FAILED || self.is_in_message();
        let Some(restore) = &mut self.restore else {
            return AtReady::Pass;
        };
        restore.again &= !last;
        match restore.stage {
            _ if own => AtReady::Tell,
            // The tag may have been that of an earlier statement.
            _ if !last => AtReady::Tell,
            Stage::Foreign | Stage::Sent => {
                self.restore = None;
                AtReady::Pass
            }
            Stage::Due | Stage::Later if must_wait => {
                restore.stage = Stage::Later;
                restore.what = Resets::Some;
                // A failed transaction has undone its settings, the reset among them: what the
                // server reports then is what the client has to know.
                match status == status::FAILED {
                    true => AtReady::Tell,
                    false => AtReady::Pass,
                }
            }
            Stage::Due | Stage::Later | Stage::UnderWay => {
                // In a transaction a query could come too early (SET TRANSACTION has to come
                // before any query); outside of one, it is always right.
                if status == status::IDLE {
                    restore.what = Resets::Some;
                }
                restore.stage = Stage::UnderWay;
                AtReady::HoldBack
            }
        }
    }

    /// Notes that setting the values was broken off, by a cancel or a time limit of the client's.
    pub(in crate::session::relay) fn restore_failed(&mut self) {
        if let Some(restore) = &mut self.restore {
            restore.stage = Stage::Later;
            restore.what = Resets::Some;
        }
    }

    /// Writes the reports that were held back, as far as the values have changed. `true`: what
    /// the client brought is set.
    pub(in crate::session::relay) fn tell(
        &mut self,
        reported: &Reported,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(restore) = &mut self.restore else {
            return false;
        };
        for (name, before) in std::mem::take(&mut restore.told) {
            let now = reported.get(&name);
            if now != before.as_deref()
                && let Some(now) = now
            {
                message::parameter_status(out, &name, now);
            }
        }
        let done = restore.stage == Stage::UnderWay;
        if done {
            self.restore = None;
        }
        done
    }

    /// Writes the messages that set the values, up to a Sync. They use the extended protocol and
    /// a name of pgvalet's, because the client may have an unnamed statement and portal.
    pub(in crate::session::relay) fn write_restore(
        &self,
        own: &Profile,
        name: &str,
        out: &mut Vec<u8>,
    ) {
        let statements = self.restore.iter().flat_map(|r| own.restore(&r.what));
        for sql in statements {
            message::close_statement(out, name);
            message::parse(out, name, &[sql.as_bytes(), b"\0\0\0"].concat());
            message::execute(out, name);
        }
        message::close_statement(out, name);
        message::sync(out);
    }
}
