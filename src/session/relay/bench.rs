//! What a message costs between its read and its write: for `benches/micro`.

use std::sync::Arc;

use super::{conversation, from_client, from_server};
use crate::pool::{Facts, Prepared, Profile, Statements, Told};
use crate::upstream::Reported;

/// A client that holds a server connection, without the sockets of the two.
pub struct Conversation {
    statements: Statements,
    prepared: Prepared,
    said: conversation::Conversation,
    reported: Reported,
    facts: Facts,
    told: Arc<Told>,
    initial: Arc<Profile>,
    out: Vec<u8>,
}

impl Default for Conversation {
    fn default() -> Self {
        Self {
            statements: Statements::default(),
            prepared: Prepared::default(),
            said: conversation::Conversation::default(),
            reported: Reported::default(),
            told: Facts::default().told(&Reported::default()),
            facts: Facts::default(),
            initial: Profile::initial(),
            out: Vec::new(),
        }
    }
}

impl Conversation {
    /// Scans whole messages of the client; returns how many bytes go to the server.
    pub fn client_says(&mut self, bytes: &[u8]) -> usize {
        self.out.clear();
        let view = from_client::View {
            session: 1,
            statements: &self.statements,
            multiplex: true,
            initial: &self.initial,
            profile: &self.initial,
            defaults: 0,
            limits: false,
            pinned: false,
        };
        let prepared = Some(&mut self.prepared);
        let progress = self.said.client_says(bytes, &mut self.out, prepared, view);
        assert_eq!(progress.consumed, bytes.len(), "whole messages");
        self.out.len() + progress.consumed - progress.run
    }

    /// Scans whole messages of the server; returns how many bytes go to the client.
    pub fn server_says(&mut self, bytes: &[u8]) -> usize {
        self.out.clear();
        let view = from_server::View {
            statements: &self.statements,
            prepared: &mut self.prepared,
            reported: &mut self.reported,
            told: &mut self.told,
            facts: &self.facts,
            one_statement: false,
            initial: &self.initial,
            activity: None,
        };
        let progress = self.said.server_says(bytes, &mut self.out, view);
        assert_eq!(progress.consumed, bytes.len(), "whole messages");
        self.out.len() + progress.consumed - progress.run
    }

    /// Whether the server owes nothing any more.
    pub fn is_over(&self) -> bool {
        self.said.replies.is_empty() && self.said.from_server.is_at_boundary()
    }
}
