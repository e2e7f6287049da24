//! Which version of a secret a pool tries, in which order, and when it tries
//! again: one state machine, without clock, store or server of its own. Drawn
//! in docs/ROTATION.md; `manager` does what it says.
//!
//! Two things never happen: a version is never tried for being AWSPENDING or
//! unlabelled before the server has refused one that ranks above it, nor if it
//! leads elsewhere; and nothing here ever makes a pool give up a connection
//! that works.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::jitter::{Backoff, jittered};
use crate::secret::{Depth, Standing, VersionId};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// Between attempts once the breaker is open: refusals are logged by the
/// server, and count where roles are locked after a number of them.
const OPEN_PAUSE: Duration = Duration::from_secs(30);

/// A version that may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub standing: Standing,
    pub version: VersionId,
    /// Host, port and database it leads to.
    pub place: Arc<str>,
    /// Whether it leads where the trusted versions lead, as the same user or
    /// its alternate.
    pub akin: bool,
}

/// What a login with a version said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Works,
    /// The server judged the credential, and it was wrong.
    Refused,
    /// The version does not say where to log in.
    Useless,
    /// Nobody answered at its place, or for a reason of the host's own.
    Silent,
    /// No login was made, because the pool is full.
    Untried,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// How things stand: on every wake-up.
    Observed {
        in_force: Option<VersionId>,
        current: Option<VersionId>,
        /// The version in force no longer logs in, or there is none.
        seeking: bool,
    },
    /// The store was asked.
    LookedUp(Depth, Vec<Candidate>),
    /// The login that was asked for has ended.
    Judged(Verdict),
    /// A version or a label is new, or somebody asks to try now.
    News,
    PauseOver,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing to do until something happens.
    Rest,
    LookUp(Depth),
    Probe(VersionId, Standing),
    /// Nothing to do for so long, unless there is news.
    Pause(Duration),
}

#[derive(Debug)]
enum Phase {
    /// The version in force logs in, and is AWSCURRENT.
    Steady,
    /// AWSCURRENT is another version than the one in force, which logs in.
    Proving { version: VersionId, pace: Pace },
    /// No version is known to log in.
    Seeking { pace: Pace, round: Round },
}

/// One way through the candidates.
#[derive(Debug, Default)]
struct Round {
    candidates: Vec<Candidate>,
    depth: Option<Depth>,
    tried: Vec<(Candidate, Verdict)>,
    trying: Option<Candidate>,
}

/// How fast attempts follow each other: from 100 ms to 2 s, and slowly once
/// none has succeeded for `grace`: then the breaker is open.
#[derive(Debug)]
struct Pace {
    since: Instant,
    grace: Duration,
    backoff: Backoff,
}

impl Pace {
    fn new(grace: Duration, now: Instant) -> Self {
        Self {
            since: now,
            grace,
            backoff: Backoff::new(FIRST_PAUSE, LAST_PAUSE),
        }
    }

    fn is_open(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.grace
    }

    fn pause(&mut self, now: Instant) -> Duration {
        match self.is_open(now) {
            true => jittered(OPEN_PAUSE),
            false => self.backoff.wait(),
        }
    }
}

pub(super) struct Search {
    phase: Phase,
    grace: Duration,
    /// Versions that were refused on the way to the one in force: while labels
    /// stay as they are, there is no hurry to try them again.
    passed_over: Vec<VersionId>,
}

impl Search {
    pub fn new(grace: Duration) -> Self {
        Self {
            phase: Phase::Steady,
            grace,
            passed_over: Vec::new(),
        }
    }

    /// Nothing logs in, and attempts have become few and far between.
    pub fn is_stuck(&self, now: Instant) -> bool {
        matches!(&self.phase, Phase::Seeking { pace, .. } if pace.is_open(now))
    }

    pub fn step(&mut self, event: Event, now: Instant) -> Action {
        match event {
            Event::Observed {
                in_force,
                seeking: true,
                ..
            } => self.seek(in_force, now),
            Event::Observed {
                in_force, current, ..
            } => self.prove(in_force, current, now),
            Event::News => {
                self.passed_over.clear();
                let pace = Pace::new(self.grace, now);
                match &mut self.phase {
                    Phase::Steady => Action::Rest,
                    // It may be another version by now that has to be proved:
                    // what is observed next says which.
                    Phase::Proving { .. } => {
                        self.phase = Phase::Steady;
                        Action::Rest
                    }
                    Phase::Seeking { .. } => self.new_round(pace),
                }
            }
            Event::PauseOver => match &mut self.phase {
                Phase::Steady => Action::Rest,
                Phase::Proving { version, .. } => Action::Probe(version.clone(), Standing::Current),
                Phase::Seeking { round, .. } => {
                    *round = Round::default();
                    Action::LookUp(Depth::Labelled)
                }
            },
            Event::LookedUp(depth, candidates) => match &mut self.phase {
                Phase::Seeking { round, .. } => {
                    round.depth = Some(depth);
                    round.candidates = candidates;
                    self.next_of_round(now)
                }
                Phase::Steady | Phase::Proving { .. } => Action::Rest,
            },
            Event::Judged(verdict) => self.judged(verdict, now),
        }
    }

    /// The version in force does not log in, or there is none.
    fn seek(&mut self, in_force: Option<VersionId>, now: Instant) -> Action {
        if let Phase::Seeking { .. } = self.phase {
            return self.next_of_round(now);
        }
        let mut round = Round::default();
        // Its refusal is why we are here; it need not be asked twice.
        if let Some(version) = in_force {
            let candidate = Candidate {
                standing: Standing::LastGood,
                version,
                place: "".into(),
                akin: true,
            };
            round.tried.push((candidate, Verdict::Refused));
        }
        self.phase = Phase::Seeking {
            pace: Pace::new(self.grace, now),
            round,
        };
        Action::LookUp(Depth::Labelled)
    }

    /// The version in force logs in; is it the right one?
    fn prove(
        &mut self,
        in_force: Option<VersionId>,
        current: Option<VersionId>,
        now: Instant,
    ) -> Action {
        let Some(version) = current.filter(|c| in_force.as_ref() != Some(c)) else {
            self.phase = Phase::Steady;
            self.passed_over.clear();
            return Action::Rest;
        };
        if let Phase::Proving {
            version: same,
            pace,
        } = &mut self.phase
            && *same == version
        {
            // Woken for another reason.
            return Action::Pause(pace.pause(now));
        }
        let slow = self.passed_over.contains(&version);
        self.phase = Phase::Proving {
            version: version.clone(),
            pace: Pace::new(if slow { Duration::ZERO } else { self.grace }, now),
        };
        match &mut self.phase {
            Phase::Proving { pace, .. } if slow => Action::Pause(pace.pause(now)),
            _ => Action::Probe(version, Standing::Current),
        }
    }

    fn new_round(&mut self, pace: Pace) -> Action {
        self.phase = Phase::Seeking {
            pace,
            round: Round::default(),
        };
        Action::LookUp(Depth::Labelled)
    }

    fn judged(&mut self, verdict: Verdict, now: Instant) -> Action {
        match (&mut self.phase, verdict) {
            (Phase::Steady, _) => Action::Rest,
            (Phase::Proving { .. }, Verdict::Works) => {
                self.phase = Phase::Steady;
                self.passed_over.clear();
                Action::Rest
            }
            (Phase::Proving { pace, .. }, Verdict::Untried) => {
                // Nothing was learnt, so that nothing counts.
                pace.since = now;
                Action::Pause(FIRST_PAUSE)
            }
            (Phase::Proving { pace, .. }, _) => Action::Pause(pace.pause(now)),
            (Phase::Seeking { .. }, Verdict::Untried) => Action::Pause(FIRST_PAUSE),
            (Phase::Seeking { round, .. }, Verdict::Works) => {
                let refused = round
                    .tried
                    .drain(..)
                    .filter(|(_, v)| *v == Verdict::Refused);
                self.passed_over = refused.map(|(c, _)| c.version).collect();
                self.phase = Phase::Steady;
                Action::Rest
            }
            (Phase::Seeking { round, .. }, verdict) => {
                if let Some(candidate) = round.trying.take() {
                    round.tried.push((candidate, verdict));
                }
                self.next_of_round(now)
            }
        }
    }

    fn next_of_round(&mut self, now: Instant) -> Action {
        let Phase::Seeking { pace, round } = &mut self.phase else {
            return Action::Rest;
        };
        if let Some(next) = round.next() {
            let next = next.clone();
            round.trying = Some(next.clone());
            return Action::Probe(next.version, next.standing);
        }
        match round.depth {
            None => Action::LookUp(Depth::Labelled),
            Some(depth) if depth < Depth::All && round.was_refused() => Action::LookUp(Depth::All),
            Some(_) => Action::Pause(pace.pause(now)),
        }
    }
}

impl Round {
    fn was_refused(&self) -> bool {
        self.tried.iter().any(|(_, v)| *v == Verdict::Refused)
    }

    /// The best candidate that was not tried yet and may be.
    fn next(&self) -> Option<&Candidate> {
        let refused = self.was_refused();
        let silent = |place: &Arc<str>| {
            (self.tried.iter()).any(|(c, v)| *v == Verdict::Silent && c.place == *place)
        };
        self.candidates
            .iter()
            .filter(|c| !self.tried.iter().any(|(t, _)| t.version == c.version))
            .filter(|c| match c.standing {
                Standing::Pending | Standing::Unlabelled => refused && c.akin,
                _ => true,
            })
            // A place that did not answer is not asked twice in a round.
            .filter(|c| !silent(&c.place))
            .min_by_key(|c| c.standing)
    }
}

#[cfg(test)]
mod tests;
