//! The task of a pool that follows its secret: it does what `search` says, with
//! one probe login at a time, and adopts what works.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{Instant as Deadline, sleep_until};
use tracing::warn;

use super::Pool;
use super::search::{Action, Candidate, Event as Step, Search, Verdict};
use super::state::Health;
use crate::base::jitter::Backoff;
use crate::pool::Database;
use crate::secret::{Credential, Depth, Found, Known, Labels, Standing, VersionId};
use crate::upstream::Target;

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
        let (in_force, remembered) = {
            let state = pool.state();
            let in_force = state.current.as_ref().map(|g| g.credential.clone());
            let place = state.refused_at.as_ref();
            (in_force, place.and_then(|p| state.worked.get(p)).cloned())
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
            let place = Target::resolve(&pool.database.upstream, &credential);
            candidates.push(Candidate {
                standing: match remembered.as_ref() == Some(&credential.version) {
                    true => standing.min(Standing::Remembered),
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
    same(database.upstream.host.is_some(), trusted.host == other.host)
        && same(database.upstream.port.is_some(), trusted.port == other.port)
        && same(
            database.upstream.dbname.is_some(),
            trusted.dbname == other.dbname,
        )
        && base(&trusted.username) == base(&other.username)
}
