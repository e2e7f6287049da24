//! A session at work: its two connections, and what is said between them.
//!
//! * `flow`         moves the bytes
//! * `conversation` what both sides have said: `from_client`, `from_server`, and the `replies`
//!   that the server owes; `cursor` is how they walk over a read buffer
//! * `findings`     what the relay has to act on
//! * `client_wire`, `server_wire` what waits on the way to either side; `input` and `pending`
//!   are what they are made of
//! * `holding`      what the session holds of its pool
//! * `expected`     which settings the client expects, and what it was told of them
//! * `departure`    a client that leaves
//! * `statistics`   what the pool has counted; `records` what is recorded of leases
//! * `lease`        when a server connection is taken into use, and when it is given up
//! * `rest`         when it goes back to the pool
//! * `state`        where the session stands: at rest, ready, done
//! * `listen`       notifications, by way of the pool's listening connection
//! * `portable`     what a session takes along to another process
//! * `notices`      what pgvalet itself tells the client

#[cfg(feature = "bench")]
pub mod bench;
mod client_wire;
mod conversation;
mod cursor;
mod departure;
mod expected;
mod findings;
mod flow;
mod from_client;
mod from_server;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod holding;
mod input;
mod lease;
mod listen;
mod notices;
mod pending;
mod portable;
mod records;
mod replies;
mod rest;
mod server_wire;
mod state;
mod statistics;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::registry::{Handle, Signal, Traffic};
use crate::audit::Audit;
use crate::net::Stream;
use crate::pool::{Profile, Quota, Told};
use crate::wire::{ClientError, message};
use client_wire::ClientWire;
use conversation::Conversation;
use departure::Departure;
use expected::Expected;
pub(super) use from_client::Watch;
use holding::Holding;
use listen::Listening;
pub(super) use listen::MAX_CHANNELS;
pub(super) use portable::Portable;
use records::Records;
pub(super) use records::server_ref;
use server_wire::ServerWire;
use statistics::Statistics;

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

/// The two connections of a session, and all that is known of them: each part keeps its own.
pub(super) struct Relay {
    client: ClientWire,
    server: ServerWire,
    handle: Arc<Handle>,
    pub holding: Holding,
    pub expected: Expected,
    conversation: Conversation,
    listening: Listening,
    departure: Departure,
    statistics: Statistics,
    records: Records,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.statistics.keep(0, &self.handle.pool);
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
        Self {
            client: ClientWire::new(client),
            server: ServerWire::default(),
            holding: Holding::new(quota, &handle.pool.database()),
            handle,
            expected: Expected::new(profile, told),
            conversation: Conversation::default(),
            listening: Listening::default(),
            departure: Departure::default(),
            statistics: Statistics::default(),
            records: Records::default(),
        }
    }

    /// Has each lease recorded.
    pub fn record_leases(&mut self, audit: &Audit) {
        self.records.record_leases(audit);
    }

    /// Has the relay begin with what the client said before it was greeted.
    pub fn begin_with(&mut self, early: Vec<u8>) {
        self.client.begin_with(early);
    }

    /// Has the relay deal with what the client has sent while something else was waited for:
    /// it has been read, and nothing else will call for it.
    pub fn look_again(&mut self) {
        self.client.look_again();
    }

    /// Has the relay send the statement for which a database had to be vacant.
    pub fn vacated(&mut self) {
        self.conversation.from_client.vacated = true;
        self.look_again();
    }

    pub fn transactions(&self) -> u64 {
        self.conversation.from_server.transactions
    }

    /// All that has passed through the session.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            transactions: self.transactions(),
            received: self.client.received(),
            sent: self.client.sent(),
        }
    }
}
