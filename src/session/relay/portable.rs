//! What a session takes along to another process.
//!
//! A session moves between transactions, while it has no server connection and the client has
//! said nothing that is not dealt with: all that there is then are a few values.

use std::io;
use std::os::fd::OwnedFd;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Relay;
use super::from_client::PortableClient;
use crate::pool::Settings;

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
    /// What the client was told that its server reports.
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
        let free = self.holding.is_free() && !self.listening.is_in_use();
        let busy = !self.client.is_idle()
            || self.departure.is_leaving()
            || !self.conversation.replies.is_empty();
        if !free || busy {
            return None;
        }
        let told = self.expected.told().reported().iter();
        Some(Portable {
            initial: self.expected.initial().settings().clone(),
            profile: self.expected.profile().settings().clone(),
            told: told.map(|(n, v)| (n.clone(), v.clone())).collect(),
            client: self.conversation.from_client.pack()?,
            transactions: self.conversation.from_server.transactions,
            received: self.client.received(),
            sent: self.client.sent(),
        })
    }

    /// Goes on where a relay of another process has stopped.
    pub fn unpack(&mut self, packed: Portable) {
        let pool = &self.handle.pool;
        self.expected.resume(pool.profiles.intern(packed.profile));
        let statements = &pool.statements;
        let from_client = &mut self.conversation.from_client;
        from_client.unpack(packed.client, statements);
        let from_server = &mut self.conversation.from_server;
        from_server.transactions = packed.transactions;
        self.client.resume(packed.received, packed.sent);
        let totals = self.totals();
        self.statistics.resume(totals);
        self.handle.goes_on(self.traffic());
        let kept = self.conversation.from_client.kept();
        self.statistics.keep(kept, &self.handle.pool);
    }

    /// The client's socket for another process.
    ///
    /// # Errors
    /// It is no plain socket, or there is no descriptor left.
    pub fn share_socket(&self) -> io::Result<OwnedFd> {
        self.client.share_socket()
    }

    /// Notes that the session goes on in another process.
    pub fn moves_away(&mut self) {
        self.departure.moves_away();
    }

    pub fn has_moved(&self) -> bool {
        self.departure.has_moved()
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
