//! Every session of the proxy: for cancel requests, for the status, and for whoever has to
//! ask sessions for something.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::access::{Evidence, Rule};
use crate::fleet::Fleet;
use crate::pool::Pool;
use crate::wire::Version;

mod activity;
mod cancels;
mod consoles;
mod handle;
mod key;
mod pin;
mod signal;
mod sweep;
mod tally;
mod uses;

pub(super) use activity::Activity;
pub use activity::Phase;
pub use consoles::ConsoleHandle;
use consoles::Consoles;
pub(super) use consoles::NewConsole;
pub use handle::{Handle, Held};
pub(super) use key::CancelKey;
pub use key::FrontendPid;
pub use pin::Pin;
pub use signal::Signal;
pub(super) use signal::Urgency;
pub use sweep::{Overdue, Sweep};
use tally::Tally;
pub use uses::Traffic;

/// The sessions that there are.
#[derive(Default)]
pub struct Sessions {
    state: Mutex<State>,
    consoles: Consoles,
    next_id: AtomicU64,
    clock: Arc<Clock>,
    /// The replicas to which keys of clients may lead.
    fleet: Option<Arc<Fleet>>,
}

/// The time as the sweep saw it last, in milliseconds of Unix time, so that no lease has to ask
/// for it. It is at most half a second old.
#[derive(Default)]
pub(super) struct Clock(AtomicU64);

impl Clock {
    fn set(&self, now: u64) {
        self.0.store(now, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        match self.0.load(Ordering::Relaxed) {
            // Before the first sweep.
            0 => unix_time(),
            now => now,
        }
    }
}

fn unix_time() -> u64 {
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Default)]
struct State {
    by_pid: HashMap<FrontendPid, Arc<Handle>>,
    /// Sessions counted by the name of the rule that let them in.
    of_rules: Tally,
    /// Sessions counted by the name of the database.
    of_databases: Tally,
    /// The signal that all sessions got last; a new one begins with it.
    signal: Option<Signal>,
}

/// A client that the rules let in.
pub(super) struct NewSession {
    pub rule: Arc<Rule>,
    pub pool: Arc<Pool>,
    /// The user name that the client asked for.
    pub user: Arc<str>,
    pub source: Arc<str>,
    pub evidence: Arc<Evidence>,
    pub application_name: Option<Arc<str>>,
    /// The version of the client's TLS.
    pub tls: Option<&'static str>,
    /// The protocol that is spoken with the client.
    pub version: Version,
}

/// The id, process id and key by which a session of another process is known.
pub(super) struct Known {
    pub id: u64,
    pub pid: FrontendPid,
    pub key: CancelKey,
    pub since: SystemTime,
}

/// Why a client that the rules let in got no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAdded {
    /// The rule has `max_clients` sessions already.
    TooManyOfRule,
    /// The database has `max_clients` sessions already.
    TooManyOfDatabase,
    /// The operating system has no random numbers.
    NoRandomNumbers,
    /// There are as many sessions of the console as there may be.
    TooManyConsoles,
}

impl Sessions {
    /// The sessions of a replica, or of a proxy without others.
    pub fn of(fleet: Option<Arc<Fleet>>) -> Self {
        Self {
            fleet,
            ..Self::default()
        }
    }

    /// Continues behind the last id that another process may have given.
    pub fn begin_after(&self, last_id: u64) {
        self.next_id.fetch_max(last_id, Ordering::Relaxed);
    }

    /// The id of the newest session.
    pub fn last_id(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed)
    }

    /// Adds a session with a key that nobody can guess.
    ///
    /// # Errors
    /// [`NotAdded`].
    pub(super) fn add(&self, new: NewSession) -> Result<Arc<Handle>, NotAdded> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let mut state = self.state.lock();
        let (rule, database) = (&new.rule, &new.pool.database());
        if state.of_rules.has(&rule.name, rule.max_clients) {
            return Err(NotAdded::TooManyOfRule);
        }
        if state
            .of_databases
            .has(database.name(), database.max_clients)
        {
            return Err(NotAdded::TooManyOfDatabase);
        }
        let (pid, key) = loop {
            let made = CancelKey::make(new.version, self.fleet.as_deref());
            let (pid, key) = made.ok_or(NotAdded::NoRandomNumbers)?;
            if pid.0 != 0 && !state.by_pid.contains_key(&pid) {
                break (pid, key);
            }
        };
        let handle = Arc::new(Handle::new(
            id,
            pid,
            key,
            state.signal,
            self.clock.clone(),
            new,
        ));
        state.of_rules.add(&handle.client);
        state.of_databases.add(handle.database());
        state.by_pid.insert(pid, handle.clone());
        Ok(handle)
    }

    /// Adds a session of another process, whatever the limits are now.
    pub(super) fn readmit(&self, new: NewSession, known: Known) -> Arc<Handle> {
        let mut state = self.state.lock();
        let mut pid = known.pid;
        // Practically never; a cancel request of its client has no effect then.
        while state.by_pid.contains_key(&pid) {
            pid = FrontendPid(pid.0.wrapping_add(1) & 0x7fff_ffff);
        }
        let clock = self.clock.clone();
        let mut handle = Handle::new(known.id, pid, known.key, state.signal, clock, new);
        handle.since = known.since;
        let handle = Arc::new(handle);
        state.of_rules.add(&handle.client);
        state.of_databases.add(handle.database());
        state.by_pid.insert(pid, handle.clone());
        handle
    }

    /// Adds a session of the console.
    ///
    /// # Errors
    /// [`NotAdded`].
    pub(super) fn add_console(&self, new: NewConsole) -> Result<Arc<ConsoleHandle>, NotAdded> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let made = CancelKey::make(new.version, self.fleet.as_deref());
        let (pid, key) = made.ok_or(NotAdded::NoRandomNumbers)?;
        let handle = ConsoleHandle::new(id, pid, key, new);
        self.consoles.add(handle).ok_or(NotAdded::TooManyConsoles)
    }

    /// Removes a session of the console that has ended.
    pub(super) fn remove_console(&self, id: u64) {
        self.consoles.remove(id);
    }

    /// Every session of the console, in no order.
    pub fn consoles(&self) -> Vec<Arc<ConsoleHandle>> {
        self.consoles.all()
    }

    /// The session with this id.
    pub fn by_id(&self, id: u64) -> Option<Arc<Handle>> {
        let state = self.state.lock();
        state.by_pid.values().find(|s| s.id == id).cloned()
    }

    /// Removes a session that has ended.
    pub fn remove(&self, pid: FrontendPid) {
        let mut state = self.state.lock();
        if let Some(handle) = state.by_pid.remove(&pid) {
            state.of_rules.remove(&handle.client);
            state.of_databases.remove(handle.database());
        }
    }

    /// Signals every session, and those that are about to be added.
    pub fn dismiss(&self, signal: Signal) {
        let mut state = self.state.lock();
        state.signal = Some(signal);
        for session in state.by_pid.values() {
            session.signal(signal);
        }
        drop(state);
        for console in self.consoles() {
            console.signal(signal);
        }
    }

    /// Every session, in no order.
    pub fn all(&self) -> Vec<Arc<Handle>> {
        self.state.lock().by_pid.values().cloned().collect()
    }

    /// The number of sessions, those of the console included.
    pub fn len(&self) -> usize {
        let clients = self.state.lock().by_pid.len();
        clients + self.consoles().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Executes a cancel request: it is forwarded to the backend that the session holds at
    /// this moment, or ends its wait for one. `false` if no session has that key.
    pub async fn cancel(&self, pid: u32, key: &[u8]) -> bool {
        let Some(handle) = self.find(pid, key) else {
            return self.consoles.cancel(FrontendPid(pid), key);
        };
        let cancel = async {
            if !handle.cancel_backend(|| true).await {
                handle.signal(Signal::Cancel);
            }
        };
        handle.cancels.one(cancel).await;
        true
    }

    /// The session that a cancel request is for, if its key is right.
    fn find(&self, pid: u32, key: &[u8]) -> Option<Arc<Handle>> {
        let handle = self.state.lock().by_pid.get(&FrontendPid(pid)).cloned()?;
        handle.key.is(key).then_some(handle)
    }
}
