//! Messages that pgvalet refuses, and what the client is told.

use super::Step;
use super::multiplex::Multiplex;
use crate::session::relay::replies::{Refusal, Reply};
use crate::wire::frame::Frame;
use crate::wire::message;

/// A message is refused if its names do not end within this many bytes. (Tests of every
/// length around it want it small.)
pub(super) const MAX_NAMES: usize = if cfg!(any(test, fuzzing)) {
    16 << 10
} else {
    2 << 20
};

/// The body of a Parse that fails, whatever the state of the transaction.
const WRONG: &[u8] = b")\0\0\0";

/// program_limit_exceeded
const LIMIT: &str = "54000";
/// The error of Postgres for a plan that is outdated (RevalidateCachedQuery, plancache.c).
pub(super) static RESULT_CHANGED: Refusal = Refusal {
    sqlstate: "0A000",
    text: "cached plan must not change result type",
    hint: "",
};
pub(super) static TOO_MUCH: Refusal = Refusal {
    sqlstate: LIMIT,
    text: "this client's named prepared statements exceed 64 MB or 65,536 statements, or those of all clients 256 MB",
    hint: "Close statements that are not used any more, or set pool_mode = \"session\" for this database.",
};
pub(super) static TOO_LONG: Refusal = Refusal {
    sqlstate: LIMIT,
    text: "the text of a named prepared statement exceeds 16 MB",
    hint: "Send it without a name, or use a database of pgvalet with pool_mode = \"session\".",
};
static NAME_TOO_LONG: Refusal = Refusal {
    sqlstate: LIMIT,
    text: "the name of a prepared statement or portal exceeds 2 MB",
    hint: "Use a shorter name.",
};

impl Multiplex<'_, '_> {
    /// Refuses a message: the server gets one that fails in its place, and passes over the rest
    /// of the batch.
    pub(super) fn refuse(&mut self, why: &'static Refusal) {
        let nowhere = self
            .view
            .statements
            .server_name(self.view.statements.number());
        message::parse(self.out.begin(), &nowhere, WRONG);
        self.replies.push(Reply::Refused(why));
    }

    /// Refuses a message with a name that is too long.
    pub(super) fn refuse_name(&mut self) -> Step {
        self.client.batch_open = true;
        self.refuse(&NAME_TOO_LONG);
        Step::Refused
    }

    /// What becomes of a frame whose names are not all here: more of it is needed, or its names
    /// are too long, or it is malformed.
    pub(super) fn incomplete(&mut self, frame: &Frame, bytes: &[u8]) -> Step {
        // The answer must not depend on how much of the frame has arrived.
        if bytes.len().min(frame.len) >= MAX_NAMES {
            return self.refuse_name();
        }
        if bytes.len() >= frame.len {
            Step::Pass // malformed: the server answers that
        } else {
            Step::More
        }
    }
}
