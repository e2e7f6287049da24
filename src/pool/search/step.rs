//! A step of the search: what the manager tells it, and what the manager is to do next.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::{FIRST_PAUSE, Pace};
use super::round::{Candidate, Round, Tried, Verdict};
use super::{Past, Phase, Search};
use crate::secret::{Depth, Standing, VersionId};

/// What the manager tells the search.
#[derive(Debug)]
pub(in crate::pool) enum Input {
    /// How things stand: on every wake-up.
    Observed {
        in_force: Option<VersionId>,
        current: Option<VersionId>,
    },
    /// The store was asked. `failure`: why it has no version to offer; `more`: it may have one
    /// all the same, because it did not answer, or because a rotation is under way.
    LookedUp {
        depth: Depth,
        candidates: Vec<Candidate>,
        failure: Option<Arc<str>>,
        more: bool,
    },
    /// The login that was asked for has failed.
    Failed(Tried),
    /// No login was made: the pool is full, which `why` says, or the version is
    /// not on offer any more.
    Untried {
        why: Option<Arc<str>>,
    },
    /// A version or a label is new, or somebody asks to try now.
    News,
    PauseOver,
}

impl Input {
    /// Why there was no login, where that is worth telling.
    pub fn why(&self) -> Option<&Arc<str>> {
        match self {
            Self::Failed(tried) => Some(&tried.why),
            Self::Untried { why } => why.as_ref(),
            _ => None,
        }
    }
}

/// What the manager is to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pool) enum Action {
    /// Do nothing until something happens.
    Rest,
    LookUp(Depth),
    Probe(VersionId, Standing),
    /// Do nothing for this time, unless there is news.
    Pause(Duration),
}

impl Search {
    /// Takes in what has happened; what is to be done now.
    pub fn step(&mut self, input: Input, now: Instant) -> Action {
        match input {
            Input::Observed { in_force, current } => self.observed(in_force, current, now),
            Input::News => self.news(now),
            Input::PauseOver => self.pause_over(),
            Input::LookedUp {
                depth,
                candidates,
                failure,
                more,
            } => {
                if let Some(failure) = failure {
                    self.failure = failure;
                }
                let Phase::Seeking { round, .. } = &mut self.phase else {
                    return Action::Rest;
                };
                round.looked_up(depth, candidates, more);
                self.next_of_round(now)
            }
            Input::Failed(tried) => self.failed(tried, now),
            Input::Untried { why } => {
                if let Some(why) = why {
                    self.failure = why;
                }
                match &mut self.phase {
                    Phase::Steady => return Action::Rest,
                    // Nothing was learnt, so that nothing counts.
                    Phase::Proving { pace, .. } => pace.start_again(now),
                    Phase::Seeking { .. } => {}
                }
                Action::Pause(FIRST_PAUSE)
            }
        }
    }

    fn observed(
        &mut self,
        in_force: Option<VersionId>,
        current: Option<VersionId>,
        now: Instant,
    ) -> Action {
        if self.is_seeking() {
            return self.next_of_round(now);
        }
        // The version in force logs in; is it the right one?
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
        let mut pace = Pace::new(if slow { Duration::ZERO } else { self.grace }, now);
        let action = match slow {
            true => Action::Pause(pace.pause(now)),
            false => Action::Probe(version.clone(), Standing::Current),
        };
        self.phase = Phase::Proving { version, pace };
        action
    }

    fn news(&mut self, now: Instant) -> Action {
        self.passed_over.clear();
        self.rounds += 1;
        if self.past == Past::InVain {
            self.past = Past::Untold;
        }
        match &mut self.phase {
            Phase::Steady => Action::Rest,
            // It may be another version by now that has to be proved: what is
            // observed next says which.
            Phase::Proving { .. } => {
                self.phase = Phase::Steady;
                Action::Rest
            }
            Phase::Seeking { pace, round, .. } => {
                *pace = Pace::new(self.grace, now);
                *round = Round::new(self.rounds, None);
                Action::LookUp(Depth::Labelled)
            }
        }
    }

    fn pause_over(&mut self) -> Action {
        self.rounds += 1;
        match &mut self.phase {
            Phase::Steady => Action::Rest,
            Phase::Proving { version, .. } => Action::Probe(version.clone(), Standing::Current),
            Phase::Seeking { round, .. } => {
                *round = Round::new(self.rounds, None);
                Action::LookUp(Depth::Labelled)
            }
        }
    }

    fn failed(&mut self, mut tried: Tried, now: Instant) -> Action {
        self.failure = tried.why.clone();
        if let Phase::Seeking { round, .. } = &self.phase {
            tried.round = round.number();
        }
        self.tried.retain(|t| t.version != tried.version);
        self.tried.push(tried);
        match &mut self.phase {
            Phase::Steady => Action::Rest,
            Phase::Proving { pace, .. } => Action::Pause(pace.pause(now)),
            Phase::Seeking { .. } => self.next_of_round(now),
        }
    }

    fn next_of_round(&mut self, now: Instant) -> Action {
        let Phase::Seeking { pace, round, .. } = &mut self.phase else {
            return Action::Rest;
        };
        if let Some(next) = round.next(&self.tried) {
            return Action::Probe(next.version.clone(), next.standing);
        }
        match round.depth() {
            None => Action::LookUp(Depth::Labelled),
            Some(depth) if depth < Depth::All && round.has_refusal(&self.tried) => {
                Action::LookUp(Depth::All)
            }
            // The pace is slow because servers log refusals, and count them; a server
            // that is away does neither, and clients wait for it.
            Some(_)
                if self
                    .tried
                    .last()
                    .is_some_and(|t| t.verdict == Verdict::Later) =>
            {
                Action::Pause(pace.brisk_pause())
            }
            Some(_) => {
                if self.past == Past::Untold && !round.may_have_more() {
                    self.past = Past::InVain;
                }
                Action::Pause(pace.pause(now))
            }
        }
    }
}
