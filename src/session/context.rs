//! What every session shares: the rules and pools in force, the list of
//! sessions, the log.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use futures_util::task::AtomicWaker;
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::door::Door;
use super::limits::{Activity, Limits, QueryMark};
use super::metrics::SessionMetrics;
use crate::access::{Evidence, Grant, Policy, Rule};
use crate::audit::{Audit, Event, OnAuditFailure, Record};
use crate::net::{ClientTrust, ServerCertificate};
use crate::pool::{Generation, Pool};
use crate::secret::SecretId;
use crate::upstream::Backend;
use crate::wire::Version;

mod cancels;
mod key;
mod pinned;
mod signals;

use cancels::Cancels;
pub use key::CancelKey;
use pinned::Pinned;
use signals::Signals;

pub struct Context {
    pub routes: ArcSwap<Routes>,
    pub sessions: Sessions,
    pub audit: Audit,
    pub on_audit_failure: OnAuditFailure,
    pub metrics: SessionMetrics,
    pub tls: Tls,
    /// Whose certificates are accepted.
    pub client_trust: Option<Arc<ClientTrust>>,
    /// Networks whose PROXY headers are believed, and expected.
    pub proxy_protocol: Vec<IpNet>,
    pub door: Arc<Door>,
    pub handshake_timeout: Duration,
    /// One permit a client.
    pub clients: Arc<Semaphore>,
}

pub enum Tls {
    Off,
    Allow(Arc<ServerCertificate>),
    Require(Arc<ServerCertificate>),
}

impl Tls {
    pub fn certificate(&self) -> Option<&Arc<ServerCertificate>> {
        match self {
            Self::Off => None,
            Self::Allow(certificate) | Self::Require(certificate) => Some(certificate),
        }
    }
}

/// What may keep a client on its server connection beyond a transaction.
pub const PIN_REASONS: [&str; 9] = [
    "advisory",
    "cursor",
    "listen",
    "prepare",
    "replication",
    "role",
    "session_authorization",
    "set_config",
    "temp",
];

/// Replaced as a whole by a reload.
pub struct Routes {
    pub policy: Policy,
    pub pools: HashMap<(Arc<str>, SecretId), Arc<Pool>>,
}

impl Routes {
    pub fn pool(&self, grant: &Grant) -> Option<Arc<Pool>> {
        self.pools
            .get(&(grant.database.name.clone(), grant.secret.clone()))
            .cloned()
    }
}

/// The process id that pgvalet shows to a client, with which it may ask for a
/// cancel; not to be mixed up with the pid of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FrontendPid(pub u32);

/// Every session, for cancels, for the status, and for those that have to go.
#[derive(Default)]
pub struct Sessions {
    by_pid: Mutex<HashMap<FrontendPid, Arc<Handle>>>,
    next: AtomicU64,
    /// What all were asked last, and what a new one therefore begins with.
    asked: Mutex<Signal>,
}

/// A session as others see it.
pub struct Handle {
    /// Counts up from 1 within a proxy.
    pub id: u64,
    pub pid: FrontendPid,
    pub key: CancelKey,
    pub client: Arc<str>,
    pub database: Arc<str>,
    pub secret: SecretId,
    pub source: Arc<str>,
    /// What it was let in by: the name it asked for, what was known of it, and
    /// the rule that decided, as it reads since the last reload.
    pub user: Arc<str>,
    pub evidence: Arc<Evidence>,
    rule: ArcSwap<Rule>,
    pub since: SystemTime,
    lease: Mutex<Option<Held>>,
    /// What keeps it on its server connection beyond a transaction.
    pinned: Mutex<Option<Box<Pinned>>>,
    signal: Signals,
    cancels: Cancels,
    pub(super) limits: Option<Limits>,
    pub(super) activity: Activity,
    /// Why its access has ended.
    revoked: OnceLock<&'static str>,
    waker: AtomicWaker,
}

/// The server connection a session holds.
#[derive(Clone)]
pub struct Held {
    pub backend: Arc<Backend>,
    pub generation: Arc<Generation>,
}

/// Why a session is asked to end, or a wait to be broken off.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    #[default]
    None = 0,
    /// Move to a connection of the generation in force.
    Move = 1,
    /// The client sent a cancel while it waited for a connection.
    Cancel = 2,
    /// End if the client is still silent, outside a transaction.
    IdleClient = 3,
    /// End if the client is still silent, inside a transaction.
    IdleInTransaction = 4,
    /// End between transactions: the generation it holds is overdue.
    DrainDeadline = 5,
    /// End between transactions: its access has ended.
    Revoked = 6,
    /// End between transactions: the proxy is going down.
    Shutdown = 7,
    /// End now: the generation it holds is long overdue.
    DrainNow = 8,
    /// End now: a query that took too long cannot be cancelled.
    QueryTimeout = 9,
    /// End now: its access has ended.
    RevokedNow = 10,
    /// End now.
    Kill = 11,
}

#[cfg(test)]
impl Handle {
    /// One of nobody's.
    pub(super) fn for_tests(limits: Option<Limits>) -> Self {
        let peer = crate::net::Peer::Unix {
            uid: 0,
            gid: 0,
            pid: None,
        };
        Self {
            id: u64::from(limits.is_some()),
            pid: FrontendPid(1),
            key: CancelKey::Short([0; 4]),
            client: "c".into(),
            database: "d".into(),
            secret: SecretId::new("s"),
            source: "unix".into(),
            user: "u".into(),
            evidence: Arc::new(Evidence::new(peer)),
            rule: ArcSwap::default(),
            since: SystemTime::now(),
            lease: Mutex::default(),
            pinned: Mutex::default(),
            signal: Signals::default(),
            cancels: Cancels::default(),
            limits,
            activity: Activity::default(),
            revoked: OnceLock::new(),
            waker: AtomicWaker::new(),
        }
    }
}

impl Handle {
    /// The beginning of a record of what this session does.
    pub(super) fn record(&self, event: Event) -> Box<Record> {
        let mut record = Box::new(Record::new(event));
        record.session = Some(self.id.to_string().into());
        record.client = Some(self.client.clone());
        record.source = Some(self.source.clone());
        record.via = self.evidence.via.map(|via| via.to_string().into());
        record.database = Some(self.database.clone());
        record
    }

    pub fn held(&self) -> Option<Held> {
        self.lease.lock().clone()
    }

    pub(super) fn hold(&self, held: Option<Held>) {
        let mut lease = self.lease.lock();
        if held.is_none() {
            // It has let go.
            for signal in [Signal::Move, Signal::DrainDeadline, Signal::DrainNow] {
                self.forget(signal);
            }
        }
        *lease = held;
    }

    /// Asks the session if what it holds this moment is such; `true` if it
    /// was not asked before.
    pub fn signal_holder(&self, signal: Signal, such: impl FnOnce(&Held) -> bool) -> bool {
        let lease = self.lease.lock();
        lease.as_ref().is_some_and(such) && self.signal(signal)
    }

    /// Asks the session to end because its access has; `false` if it was asked
    /// before.
    pub(super) fn revoke(&self, signal: Signal, reason: &'static str) -> bool {
        let _ = self.revoked.set(reason); // the first one stays
        self.signal(signal)
    }

    /// Why its access has ended, if it has.
    pub fn revoked(&self) -> Option<&'static str> {
        self.revoked.get().copied()
    }

    pub(super) fn rule(&self) -> Arc<Rule> {
        self.rule.load_full()
    }

    pub(super) fn set_rule(&self, rule: Arc<Rule>) {
        self.rule.store(rule);
    }

    /// Whether its access can end by nothing but the passing of time.
    pub(super) fn depends_on_time(&self) -> bool {
        let rule = self.rule.load();
        rule.valid.is_some() || self.evidence.certificate.is_some() || rule.ends_with_token()
    }

    /// Cancels what runs on the server connection that it holds, if `so` still
    /// stands; `false` if there was nothing to do.
    pub(super) async fn cancel_backend(&self, so: impl FnOnce() -> bool) -> bool {
        // Marked under the lock that the end of the lease takes, so that the
        // backend cannot reach another client before the cancel has landed.
        let backend = {
            let held = self.lease.lock();
            match &*held {
                Some(held) if so() => {
                    held.backend.cancel_begins();
                    held.backend.clone()
                }
                _ => return false,
            }
        };
        if let Err(e) = crate::upstream::cancel(&backend).await {
            tracing::warn!(pid = %backend.pid, "cancel request failed: {e}");
        }
        backend.cancel_landed();
        true
    }

    /// Cancels the query that took too long, unless it has ended meanwhile.
    pub async fn cancel_overdue(&self, mark: QueryMark) {
        self.cancel_backend(|| mark.is_of(self)).await;
    }

    /// Asks the session; a stronger request is heard before a weaker one. `false` if
    /// this changed nothing.
    pub fn signal(&self, signal: Signal) -> bool {
        let raised = self.signal.raise(signal);
        self.waker.wake();
        raised
    }

    pub(super) fn signalled(&self) -> Signal {
        self.signal.strongest()
    }

    /// A cancel has been dealt with, or came too late to matter.
    pub(super) fn forget_cancel(&self) {
        self.forget(Signal::Cancel);
    }

    pub(super) fn forget(&self, signal: Signal) {
        self.signal.forget(signal);
    }

    pub(super) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// Waits for a signal; for the places that do not poll by hand.
    pub(super) async fn signal_arrives(&self) -> Signal {
        std::future::poll_fn(|cx| {
            self.register(cx.waker());
            match self.signalled() {
                Signal::None => std::task::Poll::Pending,
                // It came too late: the client is silent no longer, or holds
                // nothing.
                signal @ (Signal::Move | Signal::IdleClient | Signal::IdleInTransaction) => {
                    self.forget(signal);
                    std::task::Poll::Pending
                }
                signal => std::task::Poll::Ready(signal),
            }
        })
        .await
    }
}

/// Why a client that the rules let in got no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdded {
    /// As many of its name as its rule allows are there.
    TooManyOfRule,
    /// As many as its database allows are there.
    TooManyOfDatabase,
    /// The system has none.
    NoRandomNumbers,
}

impl Sessions {
    /// Adds a session with a key that nobody can guess.
    ///
    /// # Errors
    /// [`NotAdded`].
    pub fn add(
        &self,
        grant: &Grant,
        user: Arc<str>,
        source: Arc<str>,
        evidence: Arc<Evidence>,
        version: Version,
    ) -> Result<Arc<Handle>, NotAdded> {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut by_pid = self.by_pid.lock();
        if let Some(most) = grant.client.max_clients {
            let of_it = |h: &&Arc<Handle>| h.client == grant.client.name;
            if by_pid.values().filter(of_it).count() >= most {
                return Err(NotAdded::TooManyOfRule);
            }
        }
        if let Some(most) = grant.database.max_clients {
            let of_it = |h: &&Arc<Handle>| h.database == grant.database.name;
            if by_pid.values().filter(of_it).count() >= most {
                return Err(NotAdded::TooManyOfDatabase);
            }
        }
        loop {
            let mut random = [0; 36];
            aws_lc_rs::rand::fill(&mut random).map_err(|_| NotAdded::NoRandomNumbers)?;
            let [a, b, c, d, key @ ..] = random;
            // Positive, because clients print it as a signed number.
            let pid = FrontendPid(u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff);
            if pid.0 == 0 || by_pid.contains_key(&pid) {
                continue;
            }
            let handle = Arc::new(Handle {
                id,
                pid,
                key: CancelKey::new(version, key),
                client: grant.client.name.clone(),
                database: grant.database.name.clone(),
                secret: grant.secret.clone(),
                source,
                user,
                evidence,
                rule: ArcSwap::new(grant.client.clone()),
                since: SystemTime::now(),
                lease: Mutex::default(),
                pinned: Mutex::default(),
                signal: Signals::new(*self.asked.lock()),
                cancels: Cancels::default(),
                limits: Limits::of(&grant.database),
                activity: Activity::default(),
                revoked: OnceLock::new(),
                waker: AtomicWaker::new(),
            });
            by_pid.insert(pid, handle.clone());
            return Ok(handle);
        }
    }

    /// Asks every session, and those that are about to be added.
    pub fn dismiss(&self, signal: Signal) {
        let by_pid = self.by_pid.lock();
        *self.asked.lock() = signal;
        for session in by_pid.values() {
            session.signal(signal);
        }
    }

    pub fn remove(&self, pid: FrontendPid) {
        self.by_pid.lock().remove(&pid);
    }

    pub fn all(&self) -> Vec<Arc<Handle>> {
        self.by_pid.lock().values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.by_pid.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The session a cancel is for, if its key is right.
    fn find(&self, pid: u32, key: &[u8]) -> Option<Arc<Handle>> {
        let handle = self.by_pid.lock().get(&FrontendPid(pid)).cloned()?;
        handle.key.is(key).then_some(handle)
    }

    /// A cancel request: forwarded to the backend that the session holds this
    /// moment, or breaking off its wait for one.
    /// `false`: the key belongs to nobody.
    pub async fn cancel(&self, pid: u32, key: &[u8]) -> bool {
        let Some(handle) = self.find(pid, key) else {
            return false;
        };
        let cancel = async {
            if !handle.cancel_backend(|| true).await {
                handle.signal(Signal::Cancel);
            }
        };
        handle.cancels.one(cancel).await;
        true
    }
}
