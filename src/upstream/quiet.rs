//! The proof that a server connection owes nobody an answer, and the question
//! that gives it.

use crate::wire::HEADER;
use crate::wire::frame::cstr;
use crate::wire::tag::{backend as tag, status};

/// Proof that a server connection is idle, outside a transaction, and owes
/// nobody an answer. Nothing but a proof lets a connection reach another client.
#[derive(Debug)]
#[must_use = "a connection without its proof is closed"]
pub struct Quiet(());

impl Quiet {
    /// A login has reached its first ReadyForQuery: nothing was asked yet.
    pub(super) fn after_login() -> Self {
        Self(())
    }

    /// The answer to a fence was the next and only one.
    pub(super) fn after_fence() -> Self {
        Self(())
    }

    /// The proof that the accounts of a conversation give. `owed`: an answer is
    /// awaited, or a message is not complete. `certain`: no answer has come that
    /// was not expected, and nothing happened that leaves doubt which are still to
    /// come. `status`: that of the last ReadyForQuery.
    pub fn by_accounts(owed: bool, certain: bool, status: u8) -> Option<Self> {
        (!owed && certain && status == status::IDLE).then_some(Self(()))
    }

    /// Makes a proof for connections that a test has made up.
    #[cfg(any(test, feature = "bench"))]
    pub fn for_tests() -> Self {
        Self(())
    }
}

/// A query for a value that nobody can foresee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    column: String,
}

impl Fence {
    /// A fence whose question was never asked before.
    pub fn new() -> Self {
        let nonce = uuid::Uuid::new_v4().simple();
        let column = format!("pgvalet_{nonce}");
        Self { column }
    }

    /// The question. The value stands in the name of the column, so that it comes before
    /// anything else of the answer.
    pub fn sql(&self) -> String {
        format!("SELECT 1 AS {}", self.column)
    }

    /// Whether a RowDescription, header included, is the beginning of the answer.
    pub fn is_answered_by(&self, message: &[u8]) -> bool {
        message.first() == Some(&tag::ROW_DESCRIPTION)
            && message
                .get(HEADER + 2..)
                .and_then(cstr)
                .is_some_and(|name| name == self.column.as_bytes())
    }
}

impl Default for Fence {
    fn default() -> Self {
        Self::new()
    }
}
