//! The server's messages on their way to the client.
//!
//! Only the messages that say where the conversation stands are inspected; rows and COPY data
//! pass by length. Answers to messages that pgvalet put in are left out.

mod answers;
mod commands;
mod errors;
mod fence;
mod reuse;

use std::sync::Arc;

use super::cursor::{Cursor, Passing};
use super::findings::{Finding, Findings};
use super::from_client::FromClient;
use super::replies::{Replies, Reply};
use crate::pool::{Facts, Prepared, Profile, Statements, Told};
use crate::session::registry::Activity;
use crate::upstream::Reported;
use crate::wire::Frame;
use crate::wire::tag::{backend as tag, status};

/// Messages that are inspected are small; of a larger one, this much is read.
const MAX_READ: usize = 1 << 16;

/// Descriptions are read as a whole: 65,535 parameters take 256 KiB, and 1,664 columns
/// (MaxTupleAttributeNumber, htup_details.h) with names of 63 characters less than 512 KiB.
const MAX_DESCRIPTION: usize = 1 << 19;

/// The state of the server's side.
#[derive(Default)]
pub(super) struct FromServer {
    passing: Passing,
    /// Transaction status of the last ReadyForQuery: `I`, `T`, `E`; 0 before.
    pub status: u8,
    pub transactions: u64,
    /// Commands that were answered.
    pub answers: u64,
    pub certainty: Certainty,
    /// A replication stream flows in both directions: there is no transaction to wait for.
    pub streaming: bool,
    /// The server has said why it is about to close the connection.
    pub fatal: bool,
    /// DDL was run in the transaction that is open.
    pub ddl: bool,
    /// What the server said, if nothing was under way: whether that is the client's concern is not
    /// known yet.
    pub last_word: Box<[u8]>,
}

/// Whether it is known which answers a server still owes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    #[default]
    Certain,
    /// An answer may come that nobody waits for. Before anybody else can have the connection a
    /// fence is asked, and what comes before its answer is the client's.
    Doubtful,
    /// There was doubt, and a fence has ended it. It is not known any more what is prepared
    /// and set on the connection, so that it is cleaned.
    Fenced,
}

/// What a scan needs to know of the session and its server connection.
pub(super) struct View<'a> {
    pub statements: &'a Statements,
    pub prepared: &'a mut Prepared,
    pub reported: &'a mut Reported,
    /// What the client was told of what is reported.
    pub told: &'a mut Arc<Told>,
    pub facts: &'a Facts,
    /// Transactions of more than one statement are refused (statement mode).
    pub one_statement: bool,
    /// What the client brought at start-up.
    pub initial: &'a Profile,
    /// Says whether the query was cancelled because it took too long.
    pub activity: Option<&'a Activity>,
}

/// What became of the input.
pub(super) struct Progress {
    /// Bytes dealt with; the others have to be offered again.
    pub consumed: usize,
    /// Where in the input the run begins that goes to the client behind what was written to
    /// the buffer; it ends at `consumed`.
    pub run: usize,
    pub findings: Findings,
}

/// What becomes of a message.
enum Fate {
    Pass,
    Drop,
    /// The message is left out, and nothing behind it is dealt with.
    End,
    /// The stream can no longer be understood.
    Broken,
}

impl Fate {
    fn pass_if(pass: bool) -> Self {
        if pass { Self::Pass } else { Self::Drop }
    }
}

/// The scan of one read.
struct Scan<'a> {
    state: &'a mut FromServer,
    replies: &'a mut Replies,
    from_client: &'a mut FromClient,
    view: View<'a>,
    cursor: Cursor<'a>,
    out: &'a mut Vec<u8>,
    findings: Findings,
}

impl FromServer {
    /// Whether no message is under way.
    pub fn is_at_boundary(&self) -> bool {
        self.passing.is_done()
    }

    /// Whether part of a message has been sent to the client, and the rest is to come.
    pub fn is_in_message(&self) -> bool {
        self.passing.is_in_message()
    }

    /// Whether no message is under way and no transaction open.
    pub fn is_idle(&self) -> bool {
        self.is_at_boundary() && self.status == status::IDLE
    }

    /// Begins a lease: the connection comes from the pool, so it is idle.
    pub fn begin(&mut self) {
        *self = Self {
            status: status::IDLE,
            transactions: self.transactions,
            answers: self.answers,
            ..Self::default()
        };
    }

    /// Scans `input`; appends to `out` what goes to the client before the run.
    pub fn scan(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        replies: &mut Replies,
        from_client: &mut FromClient,
        view: View<'_>,
    ) -> Progress {
        let mut scan = Scan {
            state: self,
            replies,
            from_client,
            view,
            cursor: Cursor::new(input),
            out,
            findings: Findings::default(),
        };
        while scan.message() {}
        Progress {
            consumed: scan.cursor.consumed(),
            run: scan.cursor.run_start(),
            findings: scan.findings,
        }
    }
}

fn most_read(tag: u8) -> usize {
    match tag {
        tag::ROW_DESCRIPTION | tag::PARAMETER_DESCRIPTION => MAX_DESCRIPTION,
        _ => MAX_READ,
    }
}

impl Scan<'_> {
    /// Deals with the next message; `false` if that was the last one of this input.
    #[inline]
    fn message(&mut self) -> bool {
        if !self.state.passing.advance(&mut self.cursor, self.out) {
            return false;
        }
        let bytes = self.cursor.rest();
        let frame = match Frame::read(bytes) {
            Ok(Some(frame)) => frame,
            Ok(None) => return false,
            Err(_) => {
                self.findings.add(Finding::Broken);
                return false;
            }
        };
        let message = match self.is_inspected(frame.tag) {
            false => &[],
            // The length does not depend on how much has arrived so far.
            true => match bytes.get(..frame.len.min(most_read(frame.tag))) {
                Some(message) => message,
                None => return false,
            },
        };
        self.state.answers += u64::from(matches!(
            frame.tag,
            tag::COMMAND_COMPLETE
                | tag::EMPTY_QUERY_RESPONSE
                | tag::PORTAL_SUSPENDED
                | tag::ERROR_RESPONSE
        ));
        let fate = match self.replies.front() {
            Some(Reply::Fence(_)) => self.at_fence(frame.tag, message),
            Some(Reply::Reused) => self.at_reuse(&frame, message),
            _ => self.answer(&frame, message),
        };
        match fate {
            Fate::Pass => self.state.passing.pass(frame.len),
            Fate::Drop => self.state.passing.drop(frame.len),
            Fate::End => {
                self.cursor.drop(frame.len, self.out);
                return false;
            }
            Fate::Broken => {
                self.findings.add(Finding::Broken);
                return false;
            }
        }
        true
    }

    /// Whether the message has to be here before its fate is decided.
    #[inline]
    fn is_inspected(&self, tag: u8) -> bool {
        match tag {
            tag::READY_FOR_QUERY
            | tag::ERROR_RESPONSE
            | tag::PARAMETER_STATUS
            | tag::COMMAND_COMPLETE => true,
            tag::ROW_DESCRIPTION | tag::PARAMETER_DESCRIPTION => matches!(
                self.replies.front(),
                Some(Reply::HiddenDescribe(_) | Reply::Fence(_) | Reply::Reused)
            ),
            tag::NOTIFICATION_RESPONSE => !self.from_client.listens.shared.is_empty(),
            _ => false,
        }
    }
}
