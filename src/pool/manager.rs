//! The task of a pool that follows its secret: it does what `search` says, with
//! one probe login at a time, and adopts what works.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant as Deadline, sleep_until, timeout};
use tracing::{error, info, warn};

use super::generation::{Generation, credential_ref};
use super::search::{Action, Candidate, Event as Step, Search, Verdict};
use super::state::{Health, Tried};
use super::{CheckoutError, Connection, Pool};
use crate::audit::{Event, Outcome, Record};
use crate::config::Database;
use crate::jitter::Backoff;
use crate::secret::{Credential, Depth, Found, Known, Labels, Standing, VersionId};
use crate::upstream::{ConnectError, Target};

/// How long the prober waits for a slot of a pool that is full.
const SLOT_WAIT: Duration = Duration::from_secs(2);
/// How often the store is asked for another version while the breaker is open:
/// that costs no login, and a correction must not wait for the next attempt.
const LOOK: Duration = Duration::from_secs(2);

pub(super) async fn run(pool: Weak<Pool>, mut secret: watch::Receiver<Known>) {
    let Some((wake, grace)) = pool
        .upgrade()
        .map(|p| (p.wake.clone(), p.database.rotation_grace))
    else {
        return;
    };
    let mut manager = Manager {
        search: Search::new(grace),
        down: Backoff::new(Duration::from_millis(100), Duration::from_secs(2)),
        offers: Vec::new(),
        failure: "no login yet".into(),
        announced: None,
    };
    let mut seen = Seen::default();
    let mut step = None;
    loop {
        // Held only while something is done: a pool that nobody uses ends.
        let pause = {
            let Some(pool) = pool.upgrade() else { return };
            manager.work(&pool, step.take()).await
        };
        let until = pause.map(|pause| Deadline::now() + pause);
        let mut look = Deadline::now() + LOOK;
        step = loop {
            tokio::select! {
                changed = secret.changed() => {
                    if changed.is_err() { return }
                    // Every look is published, also those that were asked for
                    // here: only what is new is a reason to try again.
                    if seen.is_news(&secret.borrow_and_update()) {
                        break Some(Step::News);
                    }
                }
                () = wake.notified() => break None,
                () = sleep_until(until.unwrap_or(look)), if until.is_some() => {
                    break Some(Step::PauseOver);
                }
                () = sleep_until(look), if manager.search.is_stuck(Instant::now()) => {
                    let Some(pool) = pool.upgrade() else { return };
                    pool.follower.look(Depth::Current).await;
                    look = Deadline::now() + LOOK;
                }
            }
        };
    }
}

/// What was last seen of a secret.
#[derive(Default)]
struct Seen {
    current: Option<VersionId>,
    labels: Option<Arc<Labels>>,
    asked: u64,
}

impl Seen {
    fn is_news(&mut self, known: &Known) -> bool {
        let now = Self {
            current: known.current.as_ref().map(|c| c.version.clone()),
            labels: known.labels.clone(),
            asked: known.asked,
        };
        let news =
            (&now.current, &now.labels, now.asked) != (&self.current, &self.labels, self.asked);
        *self = now;
        news
    }
}

struct Manager {
    search: Search,
    /// For a server that cannot be reached.
    down: Backoff,
    /// What the last look at the store found, for the round of a search.
    offers: Vec<Arc<Credential>>,
    /// Why the last attempt failed.
    failure: Arc<str>,
    /// A version that was refused is announced once, not at every attempt.
    announced: Option<VersionId>,
}

impl Manager {
    /// Does what there is to do; how long to wait then, if not until something
    /// happens.
    async fn work(&mut self, pool: &Arc<Pool>, step: Option<Step>) -> Option<Duration> {
        // What happened, and then how things stand.
        let mut action = match step {
            Some(step) => self.search.step(step, Instant::now()),
            None => Action::Rest,
        };
        if action == Action::Rest {
            action = self.observe(pool)?;
        }
        loop {
            action = match action {
                Action::LookUp(depth) => {
                    let found = pool.follower.look(depth).await;
                    let candidates = self.candidates(pool, &found);
                    let step = Step::LookedUp(depth, candidates);
                    self.search.step(step, Instant::now())
                }
                Action::Probe(version, standing) => {
                    let verdict = self.probe(pool, &version, standing).await;
                    match self.search.step(Step::Judged(verdict), Instant::now()) {
                        // Adopted: is there something newer already?
                        Action::Rest => self.observe(pool)?,
                        action => action,
                    }
                }
                Action::Rest | Action::Pause(_) => break,
            };
        }
        let health = pool.state().health.clone();
        match health {
            Health::Good => self.down.reset(),
            Health::Down { .. } => {
                let current = pool.state().current.clone();
                if pool.retry_down(current.as_ref()).await {
                    self.down.reset();
                } else {
                    return Some(self.down.wait());
                }
            }
            Health::Seeking { .. } => pool.found_none(&self.failure),
        }
        match action {
            Action::Pause(pause) => Some(pause),
            _ => None,
        }
    }

    /// `None`: the pool is shut.
    fn observe(&mut self, pool: &Arc<Pool>) -> Option<Action> {
        let current = pool.follower.known().current;
        let state = pool.state();
        if state.shut {
            return None;
        }
        let version = |c: &Arc<Credential>| c.version.clone();
        let observed = Step::Observed {
            in_force: state.current.as_ref().map(|g| version(&g.credential)),
            current: current.as_ref().map(version),
            seeking: matches!(state.health, Health::Seeking { .. }),
        };
        drop(state);
        Some(self.search.step(observed, Instant::now()))
    }

    /// The versions that a look found, with what makes each worth trying.
    fn candidates(&mut self, pool: &Pool, found: &Found) -> Vec<Candidate> {
        let (in_force, worked) = {
            let state = pool.state();
            let in_force = state.current.as_ref().map(|g| g.credential.clone());
            let place = state.current.as_ref().map(|g| g.target.to_string());
            let worked = place.and_then(|p| state.worked.get(p.as_str()).cloned());
            (in_force, worked)
        };
        let current = found.known.current.clone();
        let error = found.known.error.clone();
        self.failure = error.unwrap_or_else(|| match current {
            Some(_) => self.failure.clone(),
            None => "the secret has no AWSCURRENT version".into(),
        });
        let reference = current.clone().or(in_force.clone());
        let last_good = in_force.map(|c| (Standing::LastGood, c));
        let current = current.map(|c| (Standing::Current, c));
        let others = found.others.iter().cloned();
        let mut candidates = Vec::new();
        self.offers.clear();
        for (standing, credential) in last_good.into_iter().chain(current).chain(others) {
            let akin = reference
                .as_ref()
                .is_some_and(|r| is_akin(&pool.database, r, &credential));
            if standing == Standing::Pending && !akin && self.announce(&credential.version) {
                warn!(
                    secret = %pool.secret, version = %credential.version,
                    "AWSPENDING is ignored: it names another host, port, database or user than AWSCURRENT"
                );
            }
            let remembered = worked.as_ref() == Some(&credential.version);
            let place = Target::resolve(&pool.database, &credential);
            candidates.push(Candidate {
                standing: match remembered && standing > Standing::Remembered {
                    true => Standing::Remembered,
                    false => standing,
                },
                version: credential.version.clone(),
                place: place.map_or_else(|_| "".into(), |p| p.to_string().into()),
                akin,
            });
            self.offers.push(credential);
        }
        candidates
    }

    /// `true` the first time.
    fn announce(&mut self, version: &VersionId) -> bool {
        let new = self.announced.as_ref() != Some(version);
        self.announced = Some(version.clone());
        new
    }

    /// One login with a version. If it works, it is adopted, and its connection
    /// is the first of the new generation.
    async fn probe(
        &mut self,
        pool: &Arc<Pool>,
        version: &VersionId,
        standing: Standing,
    ) -> Verdict {
        let mut offers = self.offers.iter();
        let offered = offers.find(|c| c.version == *version).cloned();
        let current = pool.follower.known().current;
        let Some(credential) = offered.or(current.filter(|c| c.version == *version)) else {
            return Verdict::Untried; // another one by now
        };
        let (verdict, why) = match pool.probe(&credential, standing).await {
            Ok(()) => {
                self.announced = None;
                self.offers.clear();
                return Verdict::Works;
            }
            Err(failed) => failed,
        };
        // With a version in force that logs in, nobody else says so.
        let proving = matches!(pool.state().health, Health::Good | Health::Down { .. });
        if proving && self.announce(version) {
            pool.adoption_failed(&credential, &why);
            warn!(
                database = %pool.database.name, secret = %pool.secret, %version,
                "AWSCURRENT does not log in yet: {why}; the last good version stays in force"
            );
        }
        self.failure = why;
        verdict
    }
}

/// Whether a version that was never AWSCURRENT can be the next one of this
/// credential: same place, and the same user or its alternate. Otherwise the
/// right to write the secret would be the right to redirect the connection.
fn is_akin(database: &Database, trusted: &Credential, other: &Credential) -> bool {
    const CLONE: &str = "_clone";
    let base = |name: &str| name.strip_suffix(CLONE).unwrap_or(name).to_owned();
    let same = |configured: bool, equal: bool| configured || equal;
    same(database.host.is_some(), trusted.host == other.host)
        && same(database.port.is_some(), trusted.port == other.port)
        && same(database.dbname.is_some(), trusted.dbname == other.dbname)
        && base(&trusted.username) == base(&other.username)
}

impl Pool {
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
    /// `true`: it is there.
    async fn retry_down(self: &Arc<Self>, current: Option<&Arc<Generation>>) -> bool {
        let Some(generation) = current else {
            self.state().health = Health::Seeking {
                since: Instant::now(),
                message: "no version".into(),
            };
            self.wake.notify_one();
            return true;
        };
        if !self.take_slot().await {
            // The pool is full, so the server is there after all. A slot may have
            // become free since, with nobody allowed to use it.
            let mut state = self.state();
            state.health = Health::Good;
            self.open_for_waiters(&mut state);
            return true;
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
                true
            }
            Err(error) => {
                let mut state = self.state();
                state.opening -= 1;
                self.login_failed(&mut state, generation, &error);
                self.release_slot(&mut state);
                // It is there, and does not like the credential.
                let seeking = matches!(state.health, Health::Seeking { .. });
                drop(state);
                if seeking {
                    self.wake.notify_one();
                }
                seeking
            }
        }
    }

    /// A round of the search has found nothing that logs in.
    fn found_none(&self, failure: &Arc<str>) {
        let mut state = self.state();
        let silent = state.tried.last().is_some_and(|t| t.unreachable);
        let nothing_held = state.leased == 0;
        let Health::Seeking { since, message } = &mut state.health else {
            return;
        };
        if message != failure {
            self.record_failure(None, failure);
            error!(database = %self.database.name, secret = %self.secret, "no version logs in: {failure}");
        }
        *message = failure.clone();
        if since.elapsed() > self.database.rotation_grace {
            let error = self.seek_error();
            state.fail_waiters(&error);
        } else if silent && nothing_held {
            state.fail_waiters(&CheckoutError::Down);
        }
    }

    /// One login with a candidate.
    async fn probe(
        self: &Arc<Self>,
        candidate: &Arc<Credential>,
        standing: Standing,
    ) -> Result<(), (Verdict, Arc<str>)> {
        let target = match Target::resolve(&self.database, candidate) {
            Ok(target) => Arc::new(target),
            Err(e) => return Err((Verdict::Useless, e.to_string().into())),
        };
        if !self.take_slot().await {
            let why = "every server connection is held by a client";
            return Err((Verdict::Untried, why.into()));
        }
        let generation = {
            let state = self.state();
            match &state.current {
                Some(current) if current.credential.version == candidate.version => current.clone(),
                _ => Arc::new(Generation::new(
                    state.generations + 1,
                    candidate.clone(),
                    target,
                    standing,
                )),
            }
        };
        match self.login(&generation).await {
            Ok(connection) => {
                self.adopt(generation, connection);
                Ok(())
            }
            Err(error) => {
                let (verdict, why) = judge(&error);
                let mut state = self.state();
                state.opening -= 1;
                state.note_tried(Tried {
                    version: candidate.version.clone(),
                    standing,
                    why: why.clone(),
                    at: SystemTime::now(),
                    unreachable: verdict == Verdict::Silent && !is_passing(&error),
                });
                self.release_slot(&mut state);
                Err((verdict, why))
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
        let place = generation.target.to_string();
        state
            .worked
            .insert(place.into(), generation.credential.version.clone());
        let tried = std::mem::take(&mut state.tried);
        let new = !state.is_current(&generation);
        let old = if new {
            state.tried_before = tried;
            // Another user may have other defaults, and has another name.
            self.profiles.forget_reported();
            state.generations = generation.number;
            state.current.replace(generation.clone())
        } else {
            None
        };
        if new {
            self.announce_adoption(&generation, old.as_ref());
        }
        if let Some(old) = &old {
            self.start_draining(&mut state, old);
        }
        self.put(&mut state, connection);
        self.open_for_waiters(&mut state);
        if new {
            self.listener.adopted();
        }
        if old.is_some() {
            self.start_replacing(&mut state);
        }
    }

    fn announce_adoption(&self, generation: &Arc<Generation>, old: Option<&Arc<Generation>>) {
        let version = &generation.credential.version;
        info!(
            database = %self.database.name, secret = %self.secret, %version,
            user = generation.credential.username, generation = generation.number,
            "version adopted ({})", generation.standing
        );
        let metrics = self.registry.secret(self.secret.as_str());
        metrics.adoption("ok");
        metrics.version(old.map(|o| o.credential.version.as_str()), version.as_str());
        let mut record = Record::new(Event::SecretAdopt);
        record.database = Some(self.database.name.clone());
        record.credential = Some(generation.credential_ref());
        record.outcome = Some(Outcome::Success);
        self.audit.record(record);
    }
}

fn judge(error: &ConnectError) -> (Verdict, Arc<str>) {
    match error.sqlstate() {
        "28P01" if error.is_authentication() => (Verdict::Refused, error.to_string().into()),
        // Not a matter of the password: pg_hba.conf, NOLOGIN, IAM.
        _ if error.is_authentication() => {
            let why = format!(
                "{error} (the server's access rules refuse this user whatever its password is: see pg_hba.conf, LOGIN, or the instance's IAM settings)"
            );
            (Verdict::Refused, why.into())
        }
        _ => (Verdict::Silent, error.to_string().into()),
    }
}

/// A server that starts, or has no room this moment, will soon let somebody in.
fn is_passing(error: &ConnectError) -> bool {
    error.is_starting() || error.sqlstate() == "53300"
}
