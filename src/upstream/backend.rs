//! A backend of Postgres, as far as it has to be known to cancel what it runs.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::Target;

/// The pid of a Postgres backend: not the one that pgvalet shows to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackendPid(pub i32);

impl fmt::Display for BackendPid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is needed to cancel a backend, shared with everybody who may have to.
pub struct Backend {
    pub pid: BackendPid,
    pub(super) key: Box<[u8]>,
    pub target: Arc<Target>,
    /// The server's address; `None` behind a unix socket.
    pub address: Option<SocketAddr>,
    cancels: AtomicUsize,
    landed: Notify,
}

impl Backend {
    pub(super) fn new(
        pid: BackendPid,
        key: Box<[u8]>,
        target: Arc<Target>,
        address: Option<SocketAddr>,
    ) -> Self {
        Self {
            pid,
            key,
            target,
            address,
            cancels: AtomicUsize::new(0),
            landed: Notify::new(),
        }
    }

    /// Whether another backend is of the same server, as far as addresses tell.
    pub fn shares_server(&self, other: &Self) -> bool {
        let is_local = |b: &Self| b.address.is_none_or(|address| address.ip().is_loopback());
        let same = self.address.is_some() && self.address == other.address;
        same || is_local(self) && is_local(other) && self.target.port == other.target.port
    }

    /// Counts a cancel as under way. To be called before it is sent, while the lease
    /// it is meant for still stands.
    pub fn cancel_begins(&self) {
        self.cancels.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts a cancel as landed.
    pub fn cancel_landed(&self) {
        self.cancels.fetch_sub(1, Ordering::AcqRel);
        self.landed.notify_waiters();
    }

    /// Whether a cancel is under way. It would hit whatever runs next, so such a
    /// backend must not be handed to anyone (pgbouncer#717).
    pub fn has_cancel_in_flight(&self) -> bool {
        self.cancels.load(Ordering::Acquire) > 0
    }

    /// Waits until no cancel is under way.
    pub async fn cancels_landed(&self) {
        loop {
            let landed = self.landed.notified();
            if !self.has_cancel_in_flight() {
                return;
            }
            landed.await;
        }
    }
}
