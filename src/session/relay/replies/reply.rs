//! The entries of the queue.

use std::sync::Arc;

use crate::pool::{Evicted, Statement};
use crate::upstream::Fence;
use crate::wire::sql::Suspicion;

/// What the server owes for one message.
pub(in crate::session::relay) enum Reply {
    /// Answered by anything up to ReadyForQuery.
    Query(Sets),
    Function,
    Sync,
    /// A Parse of the client's. The change is undone if it fails.
    Parse(Box<Change>),
    ParseUnnamed,
    /// A Parse of the unnamed statement that does not reach the server: the next answer of the
    /// server shows that it has got that far.
    Reused,
    /// A Parse of a name that the client uses already: it fails, and the error has to show the
    /// client's name.
    ParseTaken(Box<Taken>),
    /// A message that pgvalet refuses: the server fails in its place, and the error says why.
    Refused(&'static Refusal),
    /// A Parse that the client does not see: a statement of its own, on a server connection
    /// that does not have it yet.
    HiddenParse(Evicted),
    HiddenParseUnnamed,
    /// A Describe, put in by pgvalet, of what was parsed before it.
    HiddenDescribe(Box<Describing>),
    /// A statement of pgvalet's own, in the middle of a batch of the client's:
    /// answered by Parse-, Bind- and CommandComplete.
    HiddenStatement,
    /// A Bind, by the number of the copy; `None` where the server knows the name.
    Bind(Option<u64>),
    /// A Describe, by the number of the copy; 0 for a portal, and where the server knows the
    /// name.
    Describe(u64),
    Execute(Sets),
    /// A Close of the client's. The statement stays for others: something that does not exist
    /// is closed in its place.
    Close(Option<Box<Change>>),
    /// The eviction of a copy; `None` if the copy is not there any more.
    HiddenClose(Option<Evicted>),
    HiddenCloseUnnamed,
    /// A query that pgvalet put in: the client sees none of its answers.
    HiddenQuery,
    /// What the client brought is set anew: the client sees none of the answers but
    /// ReadyForQuery.
    Restore,
    /// A question whose answer shows that nothing else is owed. What comes before the answer is
    /// the client's.
    Fence(Box<Fencing>),
    /// A DEALLOCATE of a statement made by Parse. In a simple query, whose entry follows, the
    /// tag of a PREPARE comes before it.
    Deallocate(Box<Deallocate>),
    /// The end of the client's COPY data; it has no answer of its own.
    CopyEnd,
}

/// What a command tag `SET` in the answer means for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session::relay) struct Sets {
    /// Each SET of the text ends with its transaction.
    pub locally: bool,
    /// A SET of the text may be one to the default.
    pub may_reset: bool,
    /// The text may make a table, and is then answered as a SELECT.
    pub makes_table: bool,
}

impl Sets {
    /// What is assumed of a text that is not known.
    pub const MAYBE: Self = Self {
        locally: false,
        may_reset: true,
        makes_table: false,
    };

    /// `whole`: all of the text was inspected.
    pub fn of(suspicion: Option<&Suspicion>, whole: bool) -> Self {
        Self {
            locally: suspicion.is_some_and(|s| s.local_set),
            may_reset: !whole || suspicion.is_some_and(|s| s.resets.is_some()),
            makes_table: false,
        }
    }

    /// Adds that the text may make a table.
    pub fn making(self, makes_table: bool) -> Self {
        Self {
            makes_table,
            ..self
        }
    }
}

impl Default for Sets {
    fn default() -> Self {
        Self::MAYBE
    }
}

/// The error that a client gets in place of the server's.
pub(in crate::session::relay) struct Refusal {
    pub sqlstate: &'static str,
    pub text: &'static str,
    pub hint: &'static str,
}

/// A statement whose description is awaited.
pub(in crate::session::relay) struct Describing {
    /// The client's name for the statement.
    pub name: Box<[u8]>,
    pub statement: Arc<Statement>,
    /// The number of the copy.
    pub number: u64,
    /// The body of ParameterDescription.
    pub parameters: Option<Box<[u8]>>,
    /// The statement was parsed before, on another server connection or at another time, and
    /// has to have the same columns.
    pub again: bool,
}

/// A fence whose answer is awaited.
pub(in crate::session::relay) struct Fencing {
    pub fence: Fence,
    /// The answer has begun.
    pub begun: bool,
}

/// A change of what a client's statement name stands for.
pub(in crate::session::relay) struct Change {
    pub name: Box<[u8]>,
    pub before: Option<Named>,
    /// `None` where the statement was closed.
    pub after: Option<Named>,
}

/// What a client's statement name stands for.
#[derive(Clone)]
pub(in crate::session::relay) struct Named {
    pub statement: Arc<Statement>,
    /// The number of the client's own Parse: no copy with a lower number will do.
    pub since: u64,
}

/// A DEALLOCATE on its way.
pub(in crate::session::relay) struct Deallocate {
    pub change: Change,
    /// The number of the statement that is deallocated on the server in its place.
    pub stand_in: u64,
    /// The DEALLOCATE was sent in a simple query.
    pub simple: bool,
}

/// A statement name that the client uses already.
pub(in crate::session::relay) struct Taken {
    pub client_name: Box<[u8]>,
    pub server_name: String,
}

/// What an entry means for messages behind it.
pub(super) enum Kind {
    /// Ends a batch: after it, the server answers everything that came before.
    End,
    /// Changes what is prepared, if the server gets that far.
    Change,
    /// Changes the unnamed statement.
    Unnamed,
    Other,
}

impl Reply {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Sync | Self::Query(_) | Self::Function => Kind::End,
            Self::Parse(_)
            | Self::Close(Some(_))
            | Self::Deallocate(_)
            | Self::HiddenParse(_)
            | Self::HiddenClose(_) => Kind::Change,
            Self::ParseUnnamed
            | Self::Reused
            | Self::HiddenParseUnnamed
            | Self::HiddenCloseUnnamed => Kind::Unnamed,
            _ => Kind::Other,
        }
    }

    /// Whether ReadyForQuery is the answer to the entry, or the last of its answers.
    pub(super) fn ends_at_ready(&self) -> bool {
        matches!(
            self,
            Self::Query(_) | Self::Function | Self::Sync | Self::HiddenQuery | Self::Restore
        )
    }

    /// Whether pgvalet has to act on the answer to exactly this entry.
    pub(super) fn is_placed(&self) -> bool {
        !matches!(
            self,
            Self::Query(_)
                | Self::Function
                | Self::Sync
                | Self::CopyEnd
                | Self::ParseUnnamed
                | Self::Bind(_)
                | Self::Describe(_)
                | Self::Execute(_)
                | Self::Close(_)
        )
    }
}
