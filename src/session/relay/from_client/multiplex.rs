//! Messages that depend on what is prepared, set or listened on at the server: the client's names
//! and state are its own, whichever server connection it holds.

use super::{FromClient, Restored, Step, View};
use crate::pool::{ParseSettings, Prepared, Unnamed, for_each_channel};
use crate::session::relay::cursor::Cursor;
use crate::session::relay::replies::{Replies, Sets};
use crate::wire::frame::{Frame, HEADER};
use crate::wire::sql::{Suspicion, Tail, makes_table, suspect};
use crate::wire::tag::{frontend as tag, status};

/// A text is inspected up to this size; a longer one is scanned piece by piece.
pub(super) const MAX_TEXT: usize = 64 * 1024;

/// The place where messages are written anew, behind the run of messages before them.
pub(super) struct Composer<'a, 'i> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) cursor: &'a mut Cursor<'i>,
}

impl Composer<'_, '_> {
    /// The buffer to append to.
    pub(super) fn begin(&mut self) -> &mut Vec<u8> {
        self.cursor.end_run(self.out);
        self.out
    }
}

/// The scan of one message in transaction mode.
pub(super) struct Multiplex<'a, 'i> {
    pub(super) client: &'a mut FromClient,
    pub(super) out: Composer<'a, 'i>,
    pub(super) replies: &'a mut Replies,
    pub(super) prepared: &'a mut Prepared,
    /// Transaction status of the last ReadyForQuery.
    pub(super) status: u8,
    pub(super) view: &'a View<'a>,
}

impl Multiplex<'_, '_> {
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
        if self.listen_before_unlisten(suspicion.as_deref()) {
            return Step::Wait;
        }
        if let Some(suspicion) = &suspicion
            && let Some(step) = self.deallocate(frame, suspicion)
        {
            return step;
        }
        self.client.watch.note(suspicion.as_deref(), whole);
        self.may_reset(suspicion.as_deref());
        self.client.text = (!whole).then(|| Box::new(Tail::behind(HEADER)));
        let text = &bytes[HEADER..bytes.len().min(frame.len)];
        self.client.sets = Sets::of(suspicion.as_deref(), whole).making(self.makes_table(text));
        self.prepared.simple_query();
        Step::Pass
    }

    /// FunctionCall names a function by its number; that of `set_config` has been the same since
    /// Postgres 7.3 (pg_proc.dat).
    fn function(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        const SET_CONFIG: [u8; 4] = 2078u32.to_be_bytes();
        let Some(number) = bytes.get(HEADER..HEADER + 4) else {
            return if bytes.len() >= frame.len {
                Step::Pass
            } else {
                Step::More
            };
        };
        self.client.watch.ask = true;
        self.client.watch.touched = true;
        self.client.watch.hidden_setting |= number == SET_CONFIG;
        self.client.watch.holds |= may_hold(number);
        Step::Pass
    }

    /// The settings on which Parse depends, where they are known: nothing may have changed them
    /// since the profile was put in force.
    pub(super) fn parse_settings(&self) -> Option<ParseSettings> {
        let known = !self.view.pinned
            && !self.client.watch.touched
            && !self.client.ran_in_batch
            && self.client.restore.is_none();
        known.then(|| self.view.profile.parse_settings(self.view.defaults))
    }

    /// Whether a text may make a table, where somebody has to know.
    pub(super) fn makes_table(&self, text: &[u8]) -> bool {
        let wanted = self.view.statements.plans.ddl.is_watched() || self.client.watch.touched;
        wanted && makes_table(text)
    }

    pub(super) fn may_reset(&mut self, suspicion: Option<&Suspicion>) {
        if let Some(resets) = suspicion.and_then(|s| s.resets.as_ref()) {
            self.client.may_reset(resets, self.view.initial);
        }
    }

    /// Has the server connection listen on what the client listens on by way of the listening
    /// connection, so that the server can execute an UNLISTEN. `true`: the message has to wait
    /// until earlier batches are answered.
    ///
    /// Nothing can be put into the middle of a batch, and an UNLISTEN there has no effect.
    /// Drivers send it by itself.
    pub(super) fn listen_before_unlisten(&mut self, suspicion: Option<&Suspicion>) -> bool {
        let listens = &self.client.listens;
        if !suspicion.is_some_and(|s| s.listen)
            || listens.shared.is_empty()
            || listens.restored != Restored::No
            || self.client.batch_open
            || self.status == status::FAILED
        {
            return false;
        }
        if self.replies.batch_pending() {
            return true;
        }
        // A query of pgvalet's own (settings brought up to date) is not waited for, but nothing
        // can be put in behind it.
        if !self.replies.owes_a_batch() {
            let sql = for_each_channel("LISTEN", &listens.shared);
            FromClient::ask(&sql, self.out.begin(), self.replies, self.prepared);
            self.client.watch.ask = true; // the connection must not keep on listening
            self.client.listens.restored = if self.status == status::IN_TRANSACTION {
                Restored::InTransaction
            } else {
                Restored::Yes
            };
        }
        false
    }

    pub(super) fn unnamed(&self) -> Unnamed {
        Unnamed {
            session: self.view.session,
            turn: self.client.unnamed_turn,
        }
    }
}

/// Whether a function has its connection hold what ends only with it, and what no question
/// shows: the origin of what is replicated, and a backup. The numbers have been the same since
/// these functions exist (pg_proc.dat).
fn may_hold(number: &[u8]) -> bool {
    const BACKUP_START: u32 = 2172;
    const ORIGIN_SESSION_SETUP: u32 = 6006;
    const ORIGIN_XACT_SETUP: u32 = 6010;
    [BACKUP_START, ORIGIN_SESSION_SETUP, ORIGIN_XACT_SETUP]
        .iter()
        .any(|known| known.to_be_bytes() == *number)
}
