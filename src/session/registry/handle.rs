//! A session as others see it: who its client is, what it holds, and how to reach it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::activity::{Activity, Limits, Phase};
use super::cancels::Cancels;
use super::key::{CancelKey, FrontendPid};
use super::pin::Pinned;
use super::signal::{Signal, Signals, Urgency};
use super::uses::Uses;
use super::{Clock, NewSession};
use crate::access::{Evidence, Rule};
use crate::audit::SessionRef;
use crate::pool::{Generation, Pool, PoolMode};
use crate::upstream::Backend;
use crate::wire::Version;

/// A session in the registry.
pub struct Handle {
    /// The number of the session, from 1 within a proxy.
    pub id: u64,
    pub pid: FrontendPid,
    pub key: CancelKey,
    /// The name of the rule that let the client in.
    pub client: Arc<str>,
    /// The pool that the session's server connections come from.
    pub pool: Arc<Pool>,
    pub source: Arc<str>,
    /// The user name that the client asked for.
    pub user: Arc<str>,
    /// What was known of the client when it was let in.
    pub evidence: Arc<Evidence>,
    pub application_name: Option<Arc<str>>,
    /// The protocol that is spoken with the client.
    pub protocol: Version,
    /// The version of the client's TLS.
    pub tls: Option<&'static str>,
    pub since: SystemTime,
    /// The rule that let the client in, as it reads since the last reload.
    rule: ArcSwap<Rule>,
    pub(super) held: Mutex<Option<Held>>,
    /// What the session has done with each version; a lease that begins or ends takes the lock.
    pub(super) uses: Mutex<Uses>,
    pub(super) clock: Arc<Clock>,
    /// What keeps the session on its server connection beyond a transaction.
    pub(super) pinned: Mutex<Option<Box<Pinned>>>,
    signals: Signals,
    pub(super) cancels: Cancels,
    /// How long the session keeps a server connection.
    pub mode: PoolMode,
    /// Whether the database has time limits, so that the session publishes what it waits for.
    limited: AtomicBool,
    pub(in crate::session) activity: Activity,
    /// Why the session's access has ended.
    revoked: OnceLock<&'static str>,
    waker: AtomicWaker,
}

/// The server connection that a session holds.
#[derive(Clone)]
pub struct Held {
    pub backend: Arc<Backend>,
    pub generation: Arc<Generation>,
}

impl Handle {
    /// A new session. `signal`: the one that all sessions got last.
    pub(super) fn new(
        id: u64,
        pid: FrontendPid,
        key: CancelKey,
        signal: Option<Signal>,
        clock: Arc<Clock>,
        new: NewSession,
    ) -> Self {
        Self {
            id,
            pid,
            key,
            client: new.rule.name.clone(),
            mode: new.pool.database().pool_mode,
            limited: AtomicBool::new(Limits::of(&new.pool.database()).is_some()),
            pool: new.pool,
            source: new.source,
            user: new.user,
            evidence: new.evidence,
            application_name: new.application_name,
            protocol: new.version,
            tls: new.tls,
            since: SystemTime::now(),
            rule: ArcSwap::new(new.rule),
            held: Mutex::default(),
            uses: Mutex::default(),
            clock,
            pinned: Mutex::default(),
            signals: Signals::new(signal),
            cancels: Cancels::default(),
            activity: Activity::default(),
            revoked: OnceLock::new(),
            waker: AtomicWaker::new(),
        }
    }

    /// The name of the database that the client is connected to.
    pub fn database(&self) -> &Arc<str> {
        &self.pool.name
    }

    /// Whether the client is one of `pool`.
    pub fn is_client_of(&self, pool: &Pool) -> bool {
        self.pool.name == pool.name && self.pool.secret == pool.secret
    }

    /// The time limits of the database; `None` where there are none.
    pub(super) fn limits(&self) -> Option<Limits> {
        let limits = Limits::of(&self.pool.database());
        if limits.is_some() && !self.is_limited() && self.phase() != Phase::Idle {
            // The limits of a reload hold from the next message on.
            self.activity.set(Phase::Elsewhere, 0, 0);
        }
        self.limited.store(limits.is_some(), Relaxed);
        limits
    }

    /// Whether the database had time limits at the last sweep.
    pub(in crate::session) fn is_limited(&self) -> bool {
        self.limited.load(Relaxed)
    }

    /// The session as audit records name it.
    pub fn session_ref(&self) -> SessionRef {
        SessionRef {
            id: self.id.to_string().into(),
            client: self.client.clone(),
            source: self.source.clone(),
            via: self.evidence.via.map(|via| via.to_string().into()),
            database: self.database().clone(),
        }
    }

    /// Whether the client says nothing while it is in a transaction.
    pub fn is_idle_in_transaction(&self) -> bool {
        self.activity.observe().phase() == Phase::Transaction
    }

    /// What the session waits for.
    pub fn phase(&self) -> Phase {
        self.activity.observe().phase()
    }

    /// The time since which the session has done what it does, within half a second.
    pub fn unchanged_since(&self) -> SystemTime {
        self.activity.since().unwrap_or(self.since)
    }

    /// The server connection that the session holds at this moment.
    pub fn held(&self) -> Option<Held> {
        self.held.lock().clone()
    }

    /// Publishes what the session holds from now on.
    pub(in crate::session) fn hold(&self, held: Option<Held>) {
        let mut now = self.held.lock();
        if held.is_none() {
            // These were about the connection that it has let go of.
            for signal in [Signal::Move, Signal::DrainDeadline, Signal::DrainNow] {
                self.forget(signal);
            }
        }
        *now = held;
    }

    /// Signals the session; `false` if it had a signal as strong already.
    pub fn signal(&self, signal: Signal) -> bool {
        let raised = self.signals.raise(signal);
        self.waker.wake();
        raised
    }

    /// Signals the session if its current server connection satisfies `predicate`; `true`
    /// if it was not already signalled.
    pub fn signal_if_holding(&self, signal: Signal, predicate: impl FnOnce(&Held) -> bool) -> bool {
        let held = self.held.lock();
        held.as_ref().is_some_and(predicate) && self.signal(signal)
    }

    /// The strongest signal that the session has not acted on.
    pub(in crate::session) fn signalled(&self) -> Option<Signal> {
        self.signals.strongest()
    }

    /// Drops a signal that was acted on, or came too late to matter.
    pub(in crate::session) fn forget(&self, signal: Signal) {
        self.signals.forget(signal);
    }

    /// Has `waker` called at the next signal.
    pub(in crate::session) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Waits for a signal, in the places that do not poll by hand.
    pub(in crate::session) async fn signal_arrives(&self) -> Signal {
        poll_fn(|cx| {
            self.register(cx.waker());
            while let Some(signal) = self.signalled() {
                // Too late: the client is not silent any more, or holds nothing.
                let moves = matches!(signal, Signal::Move | Signal::Depart);
                let late = moves || signal.urgency() == Urgency::Silent;
                if !late {
                    return Poll::Ready(signal);
                }
                self.forget(signal);
            }
            Poll::Pending
        })
        .await
    }

    /// Asks the session to end because its access has ended; `false` if it was asked
    /// before.
    pub(in crate::session) fn revoke(&self, signal: Signal, reason: &'static str) -> bool {
        let _ = self.revoked.set(reason); // the first reason stays
        self.signal(signal)
    }

    /// Why the session's access has ended, if it has.
    pub fn revoked(&self) -> Option<&'static str> {
        self.revoked.get().copied()
    }

    /// The rule that let the client in.
    pub(in crate::session) fn rule(&self) -> Arc<Rule> {
        self.rule.load_full()
    }

    /// Replaces the rule by the same one as it reads now.
    pub(in crate::session) fn set_rule(&self, rule: Arc<Rule>) {
        self.rule.store(rule);
    }

    /// Whether the session's access can end by nothing but the passing of time.
    pub(in crate::session) fn depends_on_time(&self) -> bool {
        let rule = self.rule.load();
        rule.valid.is_some() || self.evidence.certificate.is_some() || rule.ends_with_token()
    }
}

#[cfg(test)]
impl Handle {
    /// A session of nobody.
    pub(super) fn for_tests(pool: Arc<Pool>, id: u64) -> Self {
        let peer = crate::net::Peer::Unix {
            uid: 0,
            gid: 0,
            pid: None,
        };
        let new = NewSession {
            rule: Arc::default(),
            pool,
            user: "u".into(),
            source: "unix".into(),
            evidence: Arc::new(Evidence::new(peer)),
            application_name: None,
            tls: None,
            version: crate::wire::Version::V3_0,
        };
        let key = CancelKey::Short([0; 4]);
        Self::new(id, FrontendPid(1), key, None, Arc::default(), new)
    }
}
