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
mod scan;
mod statements;
mod vacancy;
mod watch;

pub(super) use listens::{Listens, Restored};
pub(super) use portable::PortableClient;
pub(super) use restore::AtReady;
pub(super) use scan::{Progress, Verdict};
pub(in crate::session) use watch::Watch;

use super::cursor::Passing;
use super::replies::Sets;
use crate::pool::{Profile, Statements};
use crate::wire::sql::Tail;
use names::Names;
use plans::Reuse;
use restore::Restore;
use route::Refused;
use scan::Step;
use statements::{Copying, Special, Unnamed};

/// The state of the client's side.
#[derive(Default)]
pub(super) struct FromClient {
    passing: Passing,
    /// The message that is passing is a text that is too long to wait for.
    text: Option<Box<Tail>>,
    /// The client's named statements.
    names: Names,
    /// The client's last unnamed Parse.
    unnamed: Option<Box<Unnamed>>,
    /// The number of that Parse: a server connection may still hold an earlier one.
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
    /// The last message was a Flush: those before it are answered without a Sync.
    pub flushed: bool,
    /// The batch has parsed, or bound, the unnamed statement: it is this client's.
    unnamed_in_batch: bool,
    /// An Execute was sent in this batch, so that the settings may be others now.
    ran_in_batch: bool,
    /// The server passes over everything up to Sync, and so does this side.
    skipping: bool,
    /// The database that the next statement needs vacant is so (see [`Verdict::Vacate`]).
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
    /// A statement that the client has parsed may make a table.
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

impl FromClient {
    /// Whether a message is being sent on and the rest of it is still to come.
    pub fn is_in_message(&self) -> bool {
        self.passing.is_in_message()
    }
}
