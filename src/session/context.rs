//! What all sessions share: the rules and pools in force, the registry of sessions, the
//! audit log.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::arrive::{Denials, Limiter, Refusals};
use super::console::Console;
use super::elsewhere::Elsewhere;
use super::metrics::SessionMetrics;
use super::options::Reception;
use super::registry::Sessions;
use super::seats::Seats;
use super::switches::Switches;
use crate::access::{Grant, Policy};
use crate::audit::Audit;
use crate::fleet::{Cancels, Fleet};
use crate::net::{ClientTrust, ServerCertificate};
use crate::pool::Pool;
use crate::secret::SecretId;
use crate::telemetry::Traces;

/// What all sessions of a proxy share.
pub struct Context {
    pub routes: ArcSwap<Routes>,
    pub sessions: Sessions,
    pub audit: Audit,
    pub metrics: SessionMetrics,
    pub tls: Tls,
    /// The authorities whose client certificates are accepted.
    pub client_trust: Option<Arc<ClientTrust>>,
    pub reception: ArcSwap<Reception>,
    /// Connections that are in their handshake.
    pub limiter: Arc<Limiter>,
    pub denials: Denials,
    pub refusals: Refusals,
    /// `[listen] wait_notice` in milliseconds, which a reload and SET change.
    pub wait_notice: AtomicU64,
    /// What an administrator has paused or disabled.
    pub switches: Switches,
    /// Serves the console, once the proxy is built.
    pub console: OnceLock<Arc<dyn Console>>,
    /// The places for clients, as many as `max_clients`.
    pub clients: Arc<Seats>,
    /// Gets a span of each session, where traces are sent.
    pub traces: OnceLock<Arc<Traces>>,
    /// The other process, during an upgrade.
    pub elsewhere: Elsewhere,
    /// Other replicas, to which cancel requests may be passed on.
    pub fleet: Option<Arc<Fleet>>,
}

impl Context {
    /// Executes a cancel request for a session of this replica; `false` if there is none with
    /// that key.
    pub async fn cancel_here(&self, pid: u32, key: &[u8]) -> bool {
        self.sessions.cancel(pid, key).await || self.elsewhere.cancel(pid, key).await
    }

    /// Executes a cancel request of a client: here, or at the replica that its key names.
    pub(super) async fn cancel(&self, pid: u32, key: &[u8]) -> bool {
        if self.cancel_here(pid, key).await {
            return true;
        }
        match &self.fleet {
            Some(fleet) => fleet.forward(pid, key).await,
            None => false,
        }
    }

    /// The wait for a server connection after which a client is told what it waits for, if ever.
    pub fn wait_notice(&self) -> Option<Duration> {
        let notice = Duration::from_millis(self.wait_notice.load(Relaxed));
        (!notice.is_zero()).then_some(notice)
    }

    pub fn set_wait_notice(&self, notice: Duration) {
        let notice = u64::try_from(notice.as_millis()).unwrap_or(u64::MAX);
        self.wait_notice.store(notice, Relaxed);
    }
}

impl Cancels for Context {
    fn cancel(
        self: Arc<Self>,
        pid: u32,
        key: Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send>> {
        Box::pin(async move { self.cancel_here(pid, &key).await })
    }
}

/// `[listen] tls`.
pub enum Tls {
    Off,
    Allow(Arc<ServerCertificate>),
    Require(Arc<ServerCertificate>),
}

impl Tls {
    /// The certificate that pgvalet shows to clients.
    pub fn certificate(&self) -> Option<&Arc<ServerCertificate>> {
        match self {
            Self::Off => None,
            Self::Allow(certificate) | Self::Require(certificate) => Some(certificate),
        }
    }
}

/// Rules and pools; a reload replaces them as a whole.
pub struct Routes {
    pub policy: Policy,
    pub pools: HashMap<(Arc<str>, SecretId), Arc<Pool>>,
}

impl Routes {
    /// The pool that a grant leads to.
    pub fn pool(&self, grant: &Grant) -> Option<Arc<Pool>> {
        self.pools
            .get(&(grant.database.name().clone(), grant.secret.clone()))
            .cloned()
    }
}
