//! The task of a pool: it proves versions with one probe login at a time,
//! adopts what works, and keeps house.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tracing::{error, info, warn};

use super::generation::{Draining, Generation, credential_ref};
use super::state::Health;
use super::{Connection, LOGIN_CONCURRENCY, Pool};
use crate::audit::{Event, Outcome, Record};
use crate::jitter::Backoff;
use crate::secret::{Credential, Known, VersionId};
use crate::upstream::{ConnectError, Target};

const SWEEP: Duration = Duration::from_secs(1);
/// How long the prober waits for a slot of a pool that is full.
const SLOT_WAIT: Duration = Duration::from_secs(2);

/// What the manager has to do next.
enum Next {
    /// Nothing, until something happens.
    Rest,
    /// Try again after the backoff.
    Again,
}

/// Why a candidate was not adopted.
enum Probe {
    Works,
    /// The server judged the credential, and it was wrong.
    Rejected(Arc<str>),
    /// Nothing was learnt about the credential.
    Unknown(Arc<str>),
}

pub(super) async fn run(pool: Weak<Pool>, mut secret: watch::Receiver<Known>) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let mut tick = interval(SWEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut retry: Option<Instant> = None;
    // A version that was refused is announced once, not at every attempt.
    let mut announced: Option<VersionId> = None;
    let mut seen: Option<VersionId> = None;
    let Some(wake) = pool.upgrade().map(|p| p.wake.clone()) else {
        return;
    };
    loop {
        // Held only while something is done: a pool that nobody uses ends.
        if retry.is_none_or(|at| at <= Instant::now()) {
            let Some(pool) = pool.upgrade() else { return };
            secret.mark_unchanged();
            retry = match pool.pass(&mut announced).await {
                Next::Rest => {
                    backoff.reset();
                    None
                }
                Next::Again => Some(Instant::now() + backoff.wait()),
            };
        }
        tokio::select! {
            changed = secret.changed() => {
                if changed.is_err() { return }
                // Every look is published, also those that this task asked for:
                // only another version is a reason not to hold back.
                let known = secret.borrow_and_update().current.as_ref().map(|c| c.version.clone());
                if known != seen {
                    seen = known;
                    backoff.reset();
                    retry = None;
                }
            }
            () = wake.notified() => {
                backoff.reset();
                retry = None;
            }
            () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {}
            _ = tick.tick() => match pool.upgrade() {
                Some(pool) => pool.sweep(),
                None => return,
            },
        }
    }
}

impl Pool {
    /// Looks at the state of things and does what it asks for.
    async fn pass(self: &Arc<Self>, announced: &mut Option<VersionId>) -> Next {
        let newest = self.follower.known().current;
        let (current, health) = {
            let state = self.state();
            if state.shut {
                return Next::Rest;
            }
            (state.current.clone(), state.health.clone())
        };
        let in_force = current.as_ref().map(|g| &g.credential);
        match health {
            Health::Good => match newest {
                Some(new) if in_force.is_none_or(|c| c.version != new.version) => {
                    self.adopt_newest(new, announced).await
                }
                _ => Next::Rest,
            },
            Health::Down { .. } => {
                // The server may have moved, and the secret says where to.
                let moved = newest.filter(|n| in_force.is_some_and(|c| c.version != n.version));
                if let Some(new) = moved
                    && matches!(self.adopt_newest(new, announced).await, Next::Rest)
                {
                    return Next::Rest;
                }
                self.retry_down(current.as_ref()).await
            }
            Health::Seeking { .. } => self.seek(in_force).await,
        }
    }

    /// There is a new AWSCURRENT while the version in force works: nothing
    /// changes for anybody until a login has proved the new one.
    async fn adopt_newest(
        self: &Arc<Self>,
        new: Arc<Credential>,
        announced: &mut Option<VersionId>,
    ) -> Next {
        match self.probe(&new).await {
            Probe::Works => {
                *announced = None;
                Next::Rest
            }
            Probe::Rejected(why) | Probe::Unknown(why) => {
                if announced.as_ref() != Some(&new.version) {
                    *announced = Some(new.version.clone());
                    self.adoption_failed(&new, &why);
                    warn!(
                        database = %self.database.name, secret = %self.secret, version = %new.version,
                        "AWSCURRENT does not log in yet: {why}; the last good version stays in force"
                    );
                }
                Next::Again
            }
        }
    }

    fn adoption_failed(&self, credential: &Credential, why: &str) {
        self.registry
            .secret(self.secret.as_str())
            .adoption("failed");
        self.record_failure(Some(credential), why);
    }

    fn record_failure(&self, credential: Option<&Credential>, why: &str) {
        let mut record = Record::new(Event::SecretFail);
        record.database = Some(self.database.name.clone());
        record.credential = credential.map(credential_ref);
        record.outcome = Some(Outcome::Failure);
        record.reason = Some(why.into());
        self.audit.record(record);
    }

    /// The server could not be reached: one attempt with the version in force.
    async fn retry_down(self: &Arc<Self>, current: Option<&Arc<Generation>>) -> Next {
        let Some(generation) = current else {
            self.state().health = Health::Seeking {
                since: std::time::Instant::now(),
                message: "no version".into(),
            };
            return Next::Again;
        };
        if !self.take_slot().await {
            // The pool is full, so the server is there after all. A slot may have
            // become free since, with nobody allowed to use it.
            let mut state = self.state();
            state.health = Health::Good;
            self.open_for_waiters(&mut state);
            return Next::Rest;
        }
        match self.login(generation).await {
            Ok(connection) => {
                let mut state = self.state();
                state.opening -= 1;
                state.health = Health::Good;
                // It may have been restarted with other settings, or upgraded.
                self.profiles.forget_reported();
                info!(database = %self.database.name, "the database server is back");
                self.put(&mut state, connection);
                self.open_for_waiters(&mut state);
                Next::Rest
            }
            Err(error) => {
                let mut state = self.state();
                state.opening -= 1;
                self.login_failed(&mut state, generation, &error);
                self.release_slot(&mut state);
                Next::Again
            }
        }
    }

    /// No version is known to work: tries what the secret has, best first.
    async fn seek(self: &Arc<Self>, in_force: Option<&Arc<Credential>>) -> Next {
        self.follower.look().await;
        let mut failure: Arc<str> = self
            .follower
            .known()
            .error
            .unwrap_or_else(|| "the secret has no AWSCURRENT version".into());
        let mut unreachable = None;
        for candidate in self.follower.candidates(in_force).await {
            match self.probe(&candidate).await {
                Probe::Works => return Next::Rest,
                Probe::Rejected(why) => failure = why,
                Probe::Unknown(why) => {
                    failure = why.clone();
                    unreachable = Some(why);
                    break;
                }
            }
        }
        let mut state = self.state();
        let Health::Seeking { since, message } = &mut state.health else {
            return Next::Again;
        };
        if *message != failure {
            self.record_failure(None, &failure);
            error!(database = %self.database.name, secret = %self.secret, "no version logs in: {failure}");
        }
        *message = failure;
        let overdue = since.elapsed() > self.database.rotation_grace;
        if overdue {
            let error = self.seek_error();
            state.fail_waiters(&error);
        } else if unreachable.is_some() && state.leased == 0 {
            state.fail_waiters(&super::CheckoutError::Down);
        }
        Next::Again
    }

    /// One login with a candidate. If it works, it is adopted, and its
    /// connection is the first of the new generation.
    async fn probe(self: &Arc<Self>, candidate: &Arc<Credential>) -> Probe {
        let target = match Target::resolve(&self.database, candidate) {
            Ok(target) => Arc::new(target),
            Err(e) => return Probe::Rejected(e.to_string().into()),
        };
        if !self.take_slot().await {
            return Probe::Unknown("every server connection is held by a client".into());
        }
        let generation = {
            let state = self.state();
            match &state.current {
                Some(current) if current.credential.version == candidate.version => current.clone(),
                _ => Arc::new(Generation::new(
                    state.generations + 1,
                    candidate.clone(),
                    target,
                )),
            }
        };
        match self.login(&generation).await {
            Ok(connection) => {
                self.adopt(generation, connection);
                Probe::Works
            }
            Err(error) => {
                let mut state = self.state();
                state.opening -= 1;
                self.release_slot(&mut state);
                if error.is_authentication() && !state.rejected.contains(&candidate.version) {
                    state.rejected.push(candidate.version.clone());
                }
                drop(state);
                judge(&error)
            }
        }
    }

    /// A slot for a login of the manager's own. In a full pool an idle
    /// connection makes room, or else the next one that comes back.
    async fn take_slot(self: &Arc<Self>) -> bool {
        let handed = {
            let mut state = self.state();
            if state.open < self.database.pool_size {
                state.open += 1;
                state.opening += 1;
                return true;
            }
            let (wanted, handed) = oneshot::channel();
            state.slot_wanted = Some(wanted);
            if !state.idle.is_empty() {
                let coldest = state.idle.remove(0);
                self.put(&mut state, coldest); // which hands its slot over
            }
            handed
        };
        // Dropping the receiver in a timeout and the sender's success exclude
        // each other, so that a slot is never lost.
        let mut handed = handed;
        let got = match timeout(SLOT_WAIT, &mut handed).await {
            Ok(result) => result.is_ok(),
            Err(_) => {
                handed.close();
                handed.try_recv().is_ok()
            }
        };
        let mut state = self.state();
        if got {
            state.opening += 1;
        } else {
            state.slot_wanted = None;
        }
        got
    }

    /// A version has proved itself: new logins use it from here on, and what
    /// logged in before drains.
    fn adopt(self: &Arc<Self>, generation: Arc<Generation>, connection: Box<Connection>) {
        let mut state = self.state();
        state.opening -= 1;
        state.health = Health::Good;
        state.rejected.clear();
        let new = !state.is_current(&generation);
        let old = if new {
            state.current.replace(generation.clone())
        } else {
            None
        };
        if new {
            // Another user may have other defaults, and has another name.
            self.profiles.forget_reported();
            state.generations = generation.number;
            self.profiles.forget_reported();
        }
        if let Some(old) = &old
            && old.established() > 0
        {
            state.draining.push(Draining {
                generation: old.clone(),
                since: std::time::Instant::now(),
                started_at: std::time::SystemTime::now(),
            });
        }
        self.put(&mut state, connection);
        self.open_for_waiters(&mut state);
        drop(state);
        if new {
            self.announce_adoption(&generation, old.as_ref());
        }
        if old.is_some() {
            self.start_replacing(&mut self.state());
        }
    }

    fn announce_adoption(&self, generation: &Arc<Generation>, old: Option<&Arc<Generation>>) {
        let version = &generation.credential.version;
        info!(
            database = %self.database.name, secret = %self.secret, %version,
            user = generation.credential.username, generation = generation.number, "version adopted"
        );
        let metrics = self.registry.secret(self.secret.as_str());
        metrics.adoption("ok");
        metrics.version(old.map(|o| o.credential.version.as_str()), version.as_str());
        let mut record = Record::new(Event::SecretAdopt);
        record.database = Some(self.database.name.clone());
        record.credential = Some(generation.credential_ref());
        record.outcome = Some(Outcome::Success);
        self.audit.record(record);
        if let Some(old) = old {
            self.drain_started(old);
        }
    }

    /// Once a second: the clock, dead and outworn connections, the minimum.
    fn sweep(self: &Arc<Self>) {
        let now = self.seconds.fetch_add(SWEEP.as_secs(), Relaxed) + SWEEP.as_secs();
        let mut state = self.state();
        let idle_timeout = self.database.server_idle_timeout.as_secs();
        let lifetime = self.database.server_lifetime;
        let mut spare = state.open.saturating_sub(self.database.min_pool_size);
        let mut kept = Vec::with_capacity(state.idle.len());
        for mut connection in std::mem::take(&mut state.idle) {
            let dead = !connection.server.stream.is_quiet();
            let worn = !lifetime.is_zero() && connection.server.opened_at.elapsed() > lifetime;
            let unused = idle_timeout > 0
                && now.saturating_sub(connection.idle_since) > idle_timeout
                && spare > 0;
            if dead || worn || unused {
                spare = spare.saturating_sub(1);
                self.retire(&mut state, connection);
            } else {
                kept.push(connection);
            }
        }
        state.idle = kept;
        if matches!(state.health, Health::Good)
            && !state.lingering
            && let Some(current) = state.current.clone()
        {
            let wanted = self.database.min_pool_size.saturating_sub(state.open);
            for _ in 0..wanted.min(LOGIN_CONCURRENCY) {
                if self.may_open(&state) {
                    self.start_opening(&mut state, current.clone());
                }
            }
        }
        // What a failed login broke off goes on.
        let old = state.idle.iter().any(|c| !state.is_current(&c.generation));
        if matches!(state.health, Health::Good) && old {
            self.start_replacing(&mut state);
        }
        state.waiting();
        let waited = state.waiters.front().map(|w| w.since.elapsed());
        state.reserve = waited.is_some_and(|w| w >= self.database.reserve_pool_timeout);
        if state.reserve {
            self.open_for_waiters(&mut state);
        }
    }
}

fn judge(error: &ConnectError) -> Probe {
    let why: Arc<str> = error.to_string().into();
    if error.is_authentication() {
        Probe::Rejected(why)
    } else {
        Probe::Unknown(why)
    }
}
