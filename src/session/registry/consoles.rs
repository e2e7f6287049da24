//! Sessions of the console: they hold no server connection, and are no clients of a database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::key::{CancelKey, FrontendPid};
use super::signal::Signal;
use crate::access::{AdminRight, Evidence, Rule};
use crate::audit::SessionRef;
use crate::wire::{ClientError, Version};

/// Sessions of the console at the same time. They have places of their own, so that there is one
/// where `max_clients` is reached; more is a mistake or an attack.
const MOST: usize = 50;

/// Somebody who uses the console.
pub struct ConsoleHandle {
    /// The number of the session, which counts up together with those of clients.
    pub id: u64,
    pub pid: FrontendPid,
    pub key: CancelKey,
    /// The name of the rule that let the user in.
    pub client: Arc<str>,
    pub source: Arc<str>,
    /// The user name that was asked for.
    pub user: Arc<str>,
    /// The database name under which the console was asked for.
    pub database: Arc<str>,
    pub evidence: Arc<Evidence>,
    pub since: SystemTime,
    rule: ArcSwap<Rule>,
    ends: watch::Sender<Option<Signal>>,
    cancelled: Notify,
}

/// Somebody whom the rules let use the console.
pub(in crate::session) struct NewConsole {
    pub rule: Arc<Rule>,
    pub user: Arc<str>,
    pub database: Arc<str>,
    pub source: Arc<str>,
    pub evidence: Arc<Evidence>,
    pub version: Version,
}

impl ConsoleHandle {
    pub(super) fn new(id: u64, pid: FrontendPid, key: CancelKey, new: NewConsole) -> Self {
        Self {
            id,
            pid,
            key,
            client: new.rule.name.clone(),
            source: new.source,
            user: new.user,
            database: new.database,
            evidence: new.evidence,
            since: SystemTime::now(),
            rule: ArcSwap::new(new.rule),
            ends: watch::Sender::new(None),
            cancelled: Notify::new(),
        }
    }

    /// What the rule lets the user do at this moment.
    pub fn right(&self) -> Option<AdminRight> {
        self.rule.load().admin
    }

    /// Waits until the session has to end; returns what the client is told.
    pub async fn ends(&self) -> ClientError {
        let mut ends = self.ends.subscribe();
        let signal = ends.wait_for(Option::is_some).await.ok();
        let signal = signal.and_then(|signal| *signal).unwrap_or(Signal::Kill);
        signal.farewell()
    }

    /// Waits until its client asks to cancel what it waits for.
    pub async fn cancelled(&self) {
        self.cancelled.notified().await;
    }

    /// Asks the session to end; `false` if it was asked before.
    pub fn signal(&self, signal: Signal) -> bool {
        let asked = |ends: &mut Option<Signal>| ends.replace(signal).is_none();
        self.ends.send_if_modified(asked)
    }

    pub fn session_ref(&self) -> SessionRef {
        SessionRef {
            id: self.id.to_string().into(),
            client: self.client.clone(),
            source: self.source.clone(),
            via: self.evidence.via.map(|via| via.to_string().into()),
            database: self.database.clone(),
        }
    }

    pub(in crate::session) fn rule(&self) -> Arc<Rule> {
        self.rule.load_full()
    }

    /// Replaces the rule by the same one as it reads now.
    pub(in crate::session) fn set_rule(&self, rule: Arc<Rule>) {
        self.rule.store(rule);
    }
}

/// All sessions of the console.
#[derive(Default)]
pub(super) struct Consoles(Mutex<HashMap<u64, Arc<ConsoleHandle>>>);

impl Consoles {
    /// Adds a session; `None` if there is no room.
    pub fn add(&self, handle: ConsoleHandle) -> Option<Arc<ConsoleHandle>> {
        let mut all = self.0.lock();
        if all.len() >= MOST {
            return None;
        }
        let handle = Arc::new(handle);
        all.insert(handle.id, handle.clone());
        Some(handle)
    }

    pub fn remove(&self, id: u64) {
        self.0.lock().remove(&id);
    }

    pub fn all(&self) -> Vec<Arc<ConsoleHandle>> {
        self.0.lock().values().cloned().collect()
    }

    /// Cancels what a session waits for, if the key is right.
    pub fn cancel(&self, pid: FrontendPid, key: &[u8]) -> bool {
        let all = self.0.lock();
        let found = all.values().find(|c| c.pid == pid && c.key.is(key));
        if let Some(console) = found {
            console.cancelled.notify_waiters();
        }
        found.is_some()
    }
}
