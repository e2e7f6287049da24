//! The task of a pool that follows its secret: it does what `search` says, with
//! one probe login at a time.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{Instant as Deadline, sleep_until};
use tracing::{debug, warn};

use super::search::{Action, Candidate, Health, Input};
use super::{Database, Pool};
use crate::base::jitter::Backoff;
use crate::secret::{Credential, Depth, Found, Known, Labels, Standing, VersionId};
use crate::upstream::Target;

/// How often the store is asked for another version while the breaker is open:
/// that costs no login, and a correction must not wait for the next attempt.
const LOOK: Duration = Duration::from_secs(2);

pub(super) async fn run(pool: Weak<Pool>, mut secret: watch::Receiver<Known>) {
    let Some(wake) = pool.upgrade().map(|p| p.wake.clone()) else {
        return;
    };
    let mut manager = Manager {
        down: Backoff::new(Duration::from_millis(100), Duration::from_secs(2)),
        offers: Vec::new(),
        announced: None,
    };
    let mut seen = Seen::default();
    let mut input = None;
    loop {
        // Held only while something is done: a pool that nobody uses ends.
        let (pause, stuck) = {
            let Some(pool) = pool.upgrade() else { return };
            let pause = manager.work(&pool, input.take()).await;
            (pause, pool.state().search.is_stuck(Instant::now()))
        };
        let until = pause.map(|pause| Deadline::now() + pause);
        let mut look = Deadline::now() + LOOK;
        input = loop {
            tokio::select! {
                changed = secret.changed() => {
                    if changed.is_err() { return }
                    // Every look is published, also those that were asked for
                    // here: only what is new is a reason to try again.
                    if seen.is_news(&secret.borrow_and_update()) {
                        break Some(Input::News);
                    }
                }
                () = wake.notified() => {
                    let Some(pool) = pool.upgrade() else { return };
                    break pool.takes_hurry().then_some(Input::PauseOver);
                }
                () = sleep_until(until.unwrap_or(look)), if until.is_some() => {
                    break Some(Input::PauseOver);
                }
                () = sleep_until(look), if stuck => {
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
    /// The pauses while the server cannot be reached.
    down: Backoff,
    /// What the last look at the store found, for the round of a search.
    offers: Vec<Arc<Credential>>,
    /// A version that was refused is announced once, not at every attempt.
    announced: Option<VersionId>,
}

impl Manager {
    /// Does what there is to do; returns how long to wait then, if not until something happens.
    async fn work(&mut self, pool: &Arc<Pool>, input: Option<Input>) -> Option<Duration> {
        if pool.state().lingering {
            return None;
        }
        let reloaded = std::mem::take(&mut pool.state().reloaded);
        let input = match reloaded {
            true => {
                self.announced = None;
                Some(Input::News)
            }
            false => input,
        };
        // What happened, and then how things stand.
        let mut action = input.map_or(Action::Rest, |input| pool.step(input));
        if action == Action::Rest {
            action = observe(pool)?;
        }
        loop {
            action = match action {
                Action::LookUp(depth) => {
                    let found = pool.follower.look(depth).await;
                    pool.step(self.looked_up(pool, depth, &found))
                }
                Action::Probe(version, standing) => {
                    match self.probe(pool, &version, standing).await {
                        Some(input) => match pool.step(input) {
                            Action::Rest => observe(pool)?,
                            action => action,
                        },
                        // Adopted: is there something newer already?
                        None => observe(pool)?,
                    }
                }
                Action::Rest | Action::Pause(_) => break,
            };
        }
        let (down, seeking) = {
            let state = pool.state();
            let health = state.search.health();
            (matches!(health, Health::Down(_)), state.search.is_seeking())
        };
        if down && !pool.retry_down().await {
            return Some(pool.unhurried(self.down.wait()));
        }
        if seeking {
            pool.found_none();
        } else {
            self.down.reset();
        }
        match action {
            Action::Pause(pause) => Some(pool.unhurried(pause)),
            _ => None,
        }
    }

    /// The versions that a look found, with what makes each worth trying.
    fn looked_up(&mut self, pool: &Pool, depth: Depth, found: &Found) -> Input {
        let (in_force, remembered) = {
            let state = pool.state();
            let in_force = state.current.as_ref().map(|g| g.credential.clone());
            (in_force, state.places.remembered().cloned())
        };
        let current = found.known.current.clone();
        let failure = found.known.error.clone().or_else(|| match current {
            Some(_) => None,
            None => Some("the secret has no AWSCURRENT version".into()),
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
                .is_some_and(|r| is_akin(&pool.database(), r, &credential));
            if standing == Standing::Pending && !akin && self.announce(&credential.version) {
                warn!(
                    secret = %pool.secret, version = %credential.version,
                    "AWSPENDING is ignored: it names another host, port, database or user than AWSCURRENT"
                );
            }
            let place = Target::resolve(&pool.database().upstream, &credential);
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
        Input::LookedUp {
            depth,
            candidates,
            failure,
            more: found.known.may_recover() || found.is_rotating(),
        }
    }

    /// Returns `true` the first time.
    fn announce(&mut self, version: &VersionId) -> bool {
        let new = self.announced.as_ref() != Some(version);
        self.announced = Some(version.clone());
        new
    }

    /// Logs in once with a version; returns what the search is to be told if that fails.
    async fn probe(
        &mut self,
        pool: &Arc<Pool>,
        version: &VersionId,
        standing: Standing,
    ) -> Option<Input> {
        let mut offers = self.offers.iter();
        let offered = offers.find(|c| c.version == *version).cloned();
        let (wanted, in_force) = {
            let mut state = pool.state();
            let in_force = state.current.as_ref().map(|g| g.credential.clone());
            (pool.wanted(&mut state), in_force)
        };
        let current = pool.follower.known().current.into_iter().chain(wanted);
        let mut known = offered.into_iter().chain(current).chain(in_force);
        let Some(credential) = known.find(|c| c.version == *version) else {
            return Some(Input::Untried { why: None }); // another one by now
        };
        let standing = match pool.is_on_trial(version) {
            true => standing.max(Standing::Pending),
            false => standing,
        };
        let Err(failed) = pool.probe(&credential, standing).await else {
            self.announced = None;
            self.offers.clear();
            return None;
        };
        // With a version in force that logs in, nobody else says so.
        let (seeking, moved) = {
            let state = pool.state();
            (state.search.is_seeking(), pool.has_moved(&state))
        };
        if let Some(why) = failed.why()
            && !seeking
            && self.announce(version)
        {
            if moved {
                debug!(
                    database = %pool.name, secret = %pool.secret, %version,
                    "no login yet as the reloaded configuration says: {why}; server connections stay where they are"
                );
                return Some(failed);
            }
            pool.adoption_failed(&credential, why);
            debug!(
                database = %pool.name, secret = %pool.secret, %version,
                "AWSCURRENT does not log in yet: {why}; the last good version stays in force"
            );
        }
        Some(failed)
    }
}

/// Tells the search how things stand. `None`: the pool is shut, or left to end.
fn observe(pool: &Pool) -> Option<Action> {
    let mut state = pool.state();
    if state.shut || state.lingering {
        return None;
    }
    let current = pool.wanted(&mut state).map(|c| c.version.clone());
    let in_force = state.current.as_ref().map(|g| g.credential.version.clone());
    // What is in force elsewhere has to prove itself where logins go now.
    let observed = match pool.has_moved(&state) {
        true => Input::Observed {
            in_force: None,
            current: current.or(in_force),
        },
        false => Input::Observed { in_force, current },
    };
    Some(state.search.step(observed, Instant::now()))
}

impl Pool {
    fn step(&self, input: Input) -> Action {
        self.state().search.step(input, Instant::now())
    }
}

/// Whether a version that was never AWSCURRENT can be the next one of this
/// credential: same place, and the same user or its alternate. Otherwise the
/// right to write the secret would be the right to redirect the connection.
fn is_akin(database: &Database, trusted: &Credential, other: &Credential) -> bool {
    const CLONE: &str = "_clone";
    let base = |name: &str| name.strip_suffix(CLONE).unwrap_or(name).to_owned();
    let same = |configured: bool, equal: bool| configured || equal;
    let upstream = &database.upstream;
    same(upstream.host.is_some(), trusted.host == other.host)
        && same(upstream.port.is_some(), trusted.port == other.port)
        && same(upstream.dbname.is_some(), trusted.dbname == other.dbname)
        && base(&trusted.username) == base(&other.username)
}
