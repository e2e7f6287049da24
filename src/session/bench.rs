//! What a message costs between its read and its write: for `benches/micro`.

use std::sync::Arc;

use super::backend::{self, Backend};
use super::frontend::{self, Frontend};
use super::replies::Replies;
use crate::pool::{Facts, Prepared, Profile, Statements, Told};
use crate::upstream::Reported;

/// A client that holds a server connection, without either's socket.
pub struct Conversation {
    statements: Statements,
    prepared: Prepared,
    front: Frontend,
    back: Backend,
    replies: Replies,
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
            front: Frontend::default(),
            back: Backend::default(),
            replies: Replies::default(),
            reported: Reported::default(),
            told: Facts::default().told(&Reported::default()),
            facts: Facts::default(),
            initial: Profile::initial(),
            out: Vec::new(),
        }
    }
}

impl Conversation {
    /// Whole messages of the client; how many bytes go to the server.
    pub fn client_says(&mut self, bytes: &[u8]) -> usize {
        self.out.clear();
        let server = frontend::Server {
            session: 1,
            statements: &self.statements,
            prepared: Some(&mut self.prepared),
            status: self.back.status,
            multiplex: true,
            initial: &self.initial,
            profile: &self.initial,
            defaults: 0,
            limits: false,
            pinned: false,
        };
        let progress = self
            .front
            .scan(bytes, &mut self.out, &mut self.replies, server);
        assert_eq!(progress.consumed, bytes.len(), "whole messages");
        self.out.len() + progress.consumed - progress.run
    }

    /// Whole messages of the server; how many bytes go to the client.
    pub fn server_says(&mut self, bytes: &[u8]) -> usize {
        self.out.clear();
        let server = backend::Server {
            statements: &self.statements,
            prepared: &mut self.prepared,
            reported: &mut self.reported,
            told: &mut self.told,
            facts: &self.facts,
            one_statement: false,
            initial: &self.initial,
        };
        let (replies, front) = (&mut self.replies, &mut self.front);
        let progress = self.back.scan(bytes, &mut self.out, replies, front, server);
        assert_eq!(progress.consumed, bytes.len(), "whole messages");
        self.out.len() + progress.consumed - progress.run
    }

    /// Whether the server owes nothing any more.
    pub fn is_over(&self) -> bool {
        self.replies.is_empty() && self.back.is_at_boundary()
    }
}
