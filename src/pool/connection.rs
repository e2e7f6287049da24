//! A server connection as a pool keeps it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Generation, Prepared, Profile};
use crate::upstream::Server;

pub struct Connection {
    pub server: Server,
    pub generation: Arc<Generation>,
    /// What is set on it: the profile of whoever used it last.
    pub profile: Arc<Profile>,
    pub prepared: Prepared,
    /// In the pool's seconds.
    pub(super) idle_since: u64,
}

impl Connection {
    pub(super) fn new(server: Server, generation: Arc<Generation>) -> Self {
        generation.established.fetch_add(1, Ordering::AcqRel);
        Self {
            server,
            generation,
            profile: Profile::initial(),
            prepared: Prepared::default(),
            idle_since: 0,
        }
    }

    /// After DISCARD ALL: as if it had just logged in.
    pub fn forget_session(&mut self) {
        self.profile = Profile::initial();
        self.prepared = Prepared::default();
        self.server.heard = Vec::new();
    }
}
