//! What a session takes along to another process.
//!
//! A session moves between transactions, while it has no server connection and the client has
//! said nothing that is not dealt with: all that there is then are a few values.

use std::io;
use std::os::fd::OwnedFd;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::from_client::PortableClient;
use super::{Awaits, Leaving, Relay};
use crate::net::Stream;
use crate::pool::{PoolMode, Settings};

/// Bytes that are no text, in base64.
pub(super) struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(text);
        bytes.map(Self).map_err(serde::de::Error::custom)
    }
}

/// A relay between transactions.
#[derive(Serialize, Deserialize)]
pub(in crate::session) struct Portable {
    /// What the client brought at start-up, and what it expects to be set.
    initial: Settings,
    profile: Settings,
    /// What it was told that its server reports.
    told: Vec<(Box<str>, Box<str>)>,
    client: PortableClient,
    transactions: u64,
    received: u64,
    sent: u64,
}

impl Portable {
    pub fn initial(&self) -> &Settings {
        &self.initial
    }

    pub fn told(&self) -> impl Iterator<Item = (&str, &str)> {
        self.told.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl Relay {
    /// What the session takes along; `None`: it cannot move at this moment, or not at all.
    pub fn pack(&self) -> Option<Portable> {
        let holds = self.mode == PoolMode::Session
            || self.lease.is_some()
            || self.unrecorded.is_some()
            || self.pinned.is_some()
            || self.listening.is_in_use();
        let busy = !self.client_input.is_empty()
            || !self.to_client.is_empty()
            || self.awaits != Awaits::Bytes
            || self.ask
            || self.leaving != Leaving::No
            || !self.conversation.replies.is_empty();
        if holds || busy {
            return None;
        }
        let told = self.told.reported().iter();
        Some(Portable {
            initial: self.initial.settings().clone(),
            profile: self.profile.settings().clone(),
            told: told.map(|(n, v)| (n.clone(), v.clone())).collect(),
            client: self.conversation.from_client.pack()?,
            transactions: self.conversation.from_server.transactions,
            received: self.received,
            sent: self.sent,
        })
    }

    /// Goes on where a relay of another process has stopped.
    pub fn unpack(&mut self, packed: Portable) {
        let pool = &self.handle.pool;
        self.profile = pool.profiles.intern(packed.profile);
        let statements = &pool.statements;
        let from_client = &mut self.conversation.from_client;
        from_client.unpack(packed.client, statements);
        let from_server = &mut self.conversation.from_server;
        from_server.transactions = packed.transactions;
        (self.received, self.sent) = (packed.received, packed.sent);
        // The other process has counted these.
        self.counted.transactions = packed.transactions;
        self.counted.queries = self.conversation.from_client.queries;
        (self.counted.received, self.counted.sent) = (packed.received, packed.sent);
        self.handle.goes_on(self.traffic());
        let kept = self.conversation.from_client.kept();
        self.handle.pool.statements.keeps(kept, 0);
        self.kept = kept;
    }

    /// The client's socket for another process.
    ///
    /// # Errors
    /// It is no plain socket, or there is no descriptor left.
    pub fn share_socket(&self) -> io::Result<OwnedFd> {
        match &self.client {
            Stream::Plain(socket) => socket.share(),
            Stream::FromClient(_) | Stream::ToServer(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The session goes on in another process.
    pub fn moves_away(&mut self) {
        self.moved = true;
    }

    pub fn has_moved(&self) -> bool {
        self.moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_what_they_were() {
        for bytes in [&b""[..], b"select 1\0", &[0, 159, 146, 150, 255]] {
            let text = serde_json::to_string(&Bytes(bytes.to_vec())).expect("serialises");
            let back: Bytes = serde_json::from_str(&text).expect("reads");
            assert_eq!(back.0, bytes);
        }
        assert!(serde_json::from_str::<Bytes>("\"?\"").is_err());
    }
}
