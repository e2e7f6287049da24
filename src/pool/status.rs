//! What there is to see of a pool.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use super::metrics::Totals;
use super::state::State;
use super::{FleetCounts, Generation, LoginTrouble, Pool, Stuck, Tried};
use crate::wire::LoginFailure;

/// A pool at one moment.
pub struct PoolCounts {
    /// Whether the configuration has a use for the pool; otherwise the pool only ends.
    pub in_use: bool,
    /// Clients that wait for a connection.
    pub waiting: usize,
    /// How long the first of them has waited.
    pub longest_wait: Option<Duration>,
    /// The share of the ceiling of all replicas, if there is one.
    pub fleet: Option<FleetCounts>,
    /// What is in the way of that share.
    pub fleet_stuck: Option<Stuck>,
    /// Whether `pool_size` connections are taken, or the share is.
    pub full: bool,
    pub paused: bool,
    /// How often a connection was lent.
    pub assigned: u64,
    pub active: usize,
    pub idle: usize,
    pub opening: usize,
    /// The generation in force first, then those that drain.
    pub generations: Vec<GenerationCounts>,
    /// Why logins do not work, if they do not.
    pub problem: Option<Arc<str>>,
    /// The trouble with logins as far as a person should know of it.
    pub trouble: Option<LoginTrouble>,
    /// What the trouble is in kind, where that is known.
    pub failure: Option<LoginFailure>,
    /// Versions that were tried in vain since one last worked.
    pub tried: Vec<Tried>,
    /// Versions that were tried in vain before the one in force was adopted.
    pub tried_before: Vec<Tried>,
}

impl PoolCounts {
    /// The generation in force.
    pub fn in_force(&self) -> Option<&GenerationCounts> {
        let first = self.generations.first();
        first.filter(|g| g.draining_since.is_none())
    }

    /// Whether clients can be served: a version has logged in, and the server lets it in still.
    pub fn works(&self) -> bool {
        let lets_nobody_in = matches!(
            self.trouble,
            Some(LoginTrouble::Down(_) | LoginTrouble::NoneLogsIn(_))
        );
        self.in_force().is_some() && !lets_nobody_in
    }
}

/// The connections of one generation.
pub struct GenerationCounts {
    pub generation: Arc<Generation>,
    pub draining_since: Option<SystemTime>,
    pub idle: usize,
    pub active: usize,
}

impl Pool {
    pub fn counts(&self) -> PoolCounts {
        let mut state = self.state();
        let idle_of = |g: &Arc<Generation>, idle: &[super::connection::Proven]| {
            idle.iter()
                .filter(|c| Arc::ptr_eq(&c.generation, g))
                .count()
        };
        let current = state.current.iter().map(|g| (g.clone(), None));
        let draining = state
            .draining
            .iter()
            .map(|d| (d.generation.clone(), Some(d.started_at)));
        let generations = current
            .chain(draining)
            .map(|(generation, draining_since)| {
                let idle = idle_of(&generation, &state.idle);
                let active = generation.established().saturating_sub(idle);
                GenerationCounts {
                    generation,
                    draining_since,
                    idle,
                    active,
                }
            })
            .collect();
        let trouble = self.trouble(&state);
        PoolCounts {
            in_use: !state.lingering,
            waiting: state.waiting(),
            longest_wait: state.waiters.since().map(|since| since.elapsed()),
            full: state.slots.taken() >= self.size(&state),
            fleet: self.fleet_counts(&state),
            fleet_stuck: Self::fleet_stuck(&state),
            paused: state.paused,
            assigned: state.assigned,
            active: state
                .slots
                .leased()
                .saturating_sub(Self::ledger_slots(&state)),
            idle: state.idle.len(),
            opening: state.slots.opening(),
            generations,
            tried: state.search.tried().to_vec(),
            tried_before: state.search.tried_before().to_vec(),
            problem: state.search.problem().or_else(|| self.move_problem(&state)),
            failure: match &trouble {
                Some(LoginTrouble::Refused(tried)) => tried.failure,
                Some(_) => state.search.known_failure(),
                None => None,
            },
            trouble,
        }
    }

    fn trouble(&self, state: &State) -> Option<LoginTrouble> {
        let moved = || self.move_problem(state).map(LoginTrouble::NotMoved);
        match state.search.trouble() {
            // The version in force is refused where the reloaded configuration leads: that is no
            // fault of the version.
            Some(LoginTrouble::Refused(tried)) => {
                Some(moved().unwrap_or(LoginTrouble::Refused(tried)))
            }
            other => other.or_else(moved),
        }
    }

    /// Why logins are not made yet as a reloaded configuration says.
    fn move_problem(&self, state: &State) -> Option<Arc<str>> {
        let failed = state
            .search
            .tried()
            .last()
            .filter(|_| self.has_moved(state))?;
        let why = &failed.why;
        Some(format!("no login yet as the reloaded configuration says: {why}").into())
    }

    /// Brings the counters up to date; called before they are read.
    pub fn publish(&self) {
        self.metrics.add_up(Totals::of(&self.stats));
        let immediate = self.stats.immediate.swap(0, Relaxed);
        if immediate > 0 {
            self.metrics.checkout.record_many(0.0, immediate as usize);
        }
    }
}
