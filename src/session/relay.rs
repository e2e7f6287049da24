//! A session at work: its two connections, and what is said between them.
//!
//! * `flow`         moves the bytes; `pending` keeps those that a peer could not take yet
//! * `conversation` what both sides have said: `from_client`, `from_server`, and the `replies`
//!   that the server owes; `cursor` is how they walk over a read buffer
//! * `findings`     what the relay has to act on
//! * `lease`        when a server connection is taken into use, and when it is given up
//! * `rest`         when it goes back to the pool
//! * `state`        where the session stands: at rest, ready, done
//! * `listen`       notifications, by way of the pool's listening connection
//! * `portable`     what a session takes along to another process
//! * `farewell`     what the client is told last

#[cfg(feature = "bench")]
pub mod bench;
mod conversation;
mod cursor;
mod farewell;
mod findings;
mod flow;
mod from_client;
mod from_server;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod lease;
mod listen;
mod pending;
mod portable;
mod replies;
mod rest;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use super::registry::{Handle, Pin, Signal, Traffic};
use crate::audit::Audit;
use crate::net::Stream;
use crate::pool::{Lease, PoolMode, Profile, Quota, SessionMigration, Told};
use crate::wire::{ClientError, message};
use conversation::Conversation;
pub(super) use from_client::Watch;
pub(super) use lease::server_ref;
use listen::Listening;
use pending::Pending;
pub(super) use portable::Portable;

/// Why the relay came to a halt.
pub(super) enum Halt {
    /// A message of the client needs a server connection.
    NeedServer,
    /// A message of the client needs this database vacant.
    Vacate(Box<str>),
    /// The session is at rest, but the server has to be asked what the client left there.
    Settle,
    /// The client said goodbye, or has closed its side of the connection, and what it sent
    /// before that is done.
    Goodbye,
    /// The client cannot be reached any more.
    ClientGone,
    /// The connection to the server is lost.
    ServerGone,
    /// The server refused settings that pgvalet made for the client.
    SettingsRefused(message::ErrorFields),
    /// The client did something that pgvalet cannot allow.
    Violation(ClientError),
    /// A signal is due.
    Asked(Signal),
}

/// The two connections of a session, and all that is known of them.
pub(super) struct Relay {
    pub client: Stream,
    pub handle: Arc<Handle>,
    pub mode: PoolMode,
    /// A session of session mode that may change its server connection when it is idle:
    /// names of statements are its own and settings are watched, as in transaction mode.
    pub moves: bool,
    pub lease: Option<Lease>,
    /// What the clients of its rule may hold of the pool.
    pub quota: Quota,
    /// What the client expects to be set.
    pub profile: Arc<Profile>,
    /// What the client was told that the server reports.
    pub told: Arc<Told>,
    /// What the client brought at start-up: DISCARD ALL and RESET lead back to it.
    pub initial: Arc<Profile>,
    /// Why the lease outlives its transactions, if it does.
    pub pinned: Option<Pin>,
    conversation: Conversation,
    to_client: Pending,
    to_server: Pending,
    /// Bytes that were read and not dealt with: the head of a message.
    client_input: Vec<u8>,
    server_input: Vec<u8>,
    /// What the rest of `client_input` waits for.
    awaits: Awaits,
    /// The server has to be asked what the client left there.
    ask: bool,
    listening: Listening,
    /// DISCARD ALL was run, and the lease has not ended since.
    discarding: bool,
    leaving: Leaving,
    probe: Option<flow::Probe>,
    parting: Option<Box<flow::Parting>>,
    /// The session goes on in another process.
    moved: bool,
    /// Bytes read from the client.
    pub received: u64,
    /// Bytes sent to the client.
    pub sent: u64,
    counted: Totals,
    /// The memory of the client's named statements, as the pool has counted it, in bytes.
    kept: u64,
    /// The numbers of generations that this session has used; each is recorded once.
    used: Vec<u64>,
    /// Where each lease is recorded, if that is wanted. Boxed, because it is rare.
    leases: Option<Box<Leases>>,
    /// A connection of a generation whose first use is still to be recorded.
    unrecorded: Option<Lease>,
}

/// What the bytes wait for that were read from the client and not dealt with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    /// More bytes.
    #[default]
    Bytes,
    /// The server's answers to what was sent.
    Answers,
    /// Nothing: the bytes can be dealt with now.
    Nothing,
}

/// Whether the client will say anything more. What it has said is done nevertheless, as by
/// Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// The client has closed its side, and may still read what it is answered.
    Silent,
    /// The client has said goodbye, and reads nothing.
    Goodbye,
}

/// What has been added to the pool's statistics.
#[derive(Default, Clone, Copy)]
struct Totals {
    transactions: u64,
    queries: u64,
    received: u64,
    sent: u64,
}

/// What records leases.
struct Leases {
    audit: Audit,
    /// When the lease began.
    began: Option<Instant>,
    /// What had passed by the end of the lease before.
    counted: Traffic,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.handle.pool.statements.keeps(0, self.kept);
    }
}

impl Relay {
    /// `profile`: what the client brought at start-up; `told`: what it was told at its login.
    pub fn new(
        client: Stream,
        handle: Arc<Handle>,
        quota: Quota,
        profile: Arc<Profile>,
        told: Arc<Told>,
    ) -> Self {
        let database = &handle.pool.database();
        Self {
            client,
            mode: database.pool_mode,
            moves: database.session_migration == SessionMigration::Safe,
            handle,
            lease: None,
            quota,
            initial: profile.clone(),
            profile,
            told,
            pinned: None,
            conversation: Conversation::default(),
            to_client: Pending::default(),
            to_server: Pending::default(),
            client_input: Vec::new(),
            server_input: Vec::new(),
            awaits: Awaits::default(),
            ask: false,
            listening: Listening::default(),
            discarding: false,
            leaving: Leaving::No,
            probe: None,
            parting: None,
            moved: false,
            received: 0,
            sent: 0,
            counted: Totals::default(),
            kept: 0,
            used: Vec::new(),
            leases: None,
            unrecorded: None,
        }
    }

    pub fn transactions(&self) -> u64 {
        self.conversation.from_server.transactions
    }

    /// Has each lease recorded.
    pub fn record_leases(&mut self, audit: &Audit) {
        self.leases = Some(Box::new(Leases {
            audit: audit.clone(),
            began: None,
            counted: Traffic::default(),
        }));
    }

    /// All that has passed through the session.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            transactions: self.transactions(),
            received: self.received,
            sent: self.sent,
        }
    }
}
