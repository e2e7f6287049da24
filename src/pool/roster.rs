//! The server connections of a pool, for those who want to see each of them.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;

use super::{Generation, Pool};
use crate::upstream::{Backend, Server};

/// The properties of a server connection that do not change.
pub struct Registered {
    pub backend: Arc<Backend>,
    pub opened_at: Instant,
    pub since: SystemTime,
    /// The version of TLS; `None` without TLS.
    pub tls: Option<&'static str>,
    /// This end of the connection; `None` by a unix socket.
    pub local: Option<SocketAddr>,
}

impl Registered {
    pub(super) fn new(server: &Server) -> Arc<Self> {
        Arc::new(Self {
            backend: server.backend.clone(),
            opened_at: server.opened_at,
            since: SystemTime::now(),
            tls: server.tls_version(),
            local: server.local_address(),
        })
    }
}

/// The connections of one generation. A connection is in it until it is dropped.
#[derive(Default)]
pub(super) struct Roster(Mutex<Vec<Weak<Registered>>>);

impl Roster {
    pub fn add(&self, connection: &Arc<Registered>) {
        let mut all = self.0.lock();
        all.retain(|c| c.strong_count() > 0);
        all.push(Arc::downgrade(connection));
    }

    fn all(&self) -> Vec<Arc<Registered>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

/// What a server connection is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerUse {
    /// A client or pgvalet itself holds it.
    Held,
    Idle,
    /// The connection was idle for so long that it is tried before a client gets it.
    Stale,
}

/// A server connection at one moment.
pub struct ServerView {
    pub connection: Arc<Registered>,
    pub generation: Arc<Generation>,
    /// The connection belongs to a generation that drains.
    pub draining: bool,
    pub used_for: ServerUse,
    /// The statements that are prepared there; of one that is held, nobody else knows.
    pub prepared: usize,
    pub opened_at: Instant,
    /// The connection is closed as soon as nobody holds it.
    pub is_outdated: bool,
}

impl Pool {
    /// Every server connection there is, the generation in force first.
    pub fn servers(&self) -> Vec<ServerView> {
        let state = self.state();
        let current = state.current.iter().map(|g| (g, false));
        let draining = state.draining.iter().map(|d| (&d.generation, true));
        let mut views = Vec::new();
        for (generation, draining) in current.chain(draining) {
            for connection in generation.roster.all() {
                let mut idle = state.idle.iter();
                let idle = idle.find(|c| Arc::ptr_eq(c.backend(), &connection.backend));
                let used_for = match idle {
                    Some(idle) if self.is_stale(idle) => ServerUse::Stale,
                    Some(_) => ServerUse::Idle,
                    None => ServerUse::Held,
                };
                let outdated = |at: Instant| connection.opened_at <= at;
                views.push(ServerView {
                    used_for,
                    draining,
                    prepared: idle.map_or(0, |c| c.prepared.len()),
                    opened_at: connection.opened_at,
                    is_outdated: draining || state.reconnect.is_some_and(outdated),
                    generation: generation.clone(),
                    connection,
                });
            }
        }
        views
    }
}
