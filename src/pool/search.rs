//! Which version of a secret a pool tries, in which order, and when it tries again: one state
//! machine, without clock, store or server of its own. docs/ROTATION.md has a drawing of it. The
//! search lies under the pool's lock: `manager` does what it says, failed logins are reported to
//! it, and [`Health`] is what it says about logins.
//!
//! Two things never happen. A version is never tried for being AWSPENDING or
//! unlabelled before the server has refused one that ranks above it, nor if it
//! leads elsewhere. And nothing here ever makes a pool give up a connection
//! that works.

mod health;
mod pace;
mod round;
mod step;
mod trouble;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::secret::VersionId;
use crate::wire::LoginFailure;

pub(super) use health::{Down, Health, Obstacle};
use pace::Pace;
use round::Round;
pub use round::Tried;
pub(super) use round::{Candidate, Verdict};
pub(super) use step::{Action, Input};
pub use trouble::LoginTrouble;

#[derive(Debug)]
enum Phase {
    /// The version in force logs in, and is AWSCURRENT.
    Steady,
    /// AWSCURRENT is another version than the one in force, which logs in.
    Proving { version: VersionId, pace: Pace },
    /// No version is known to log in: at the start, or since the one in force
    /// was refused. One probe at a time; everybody else waits for it.
    Seeking {
        since: Instant,
        pace: Pace,
        round: Round,
        /// The failure that was recorded and logged last.
        announced: Arc<str>,
    },
}

/// Whether any version has ever logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Past {
    /// No version was tried yet, or none since the store had news.
    Untold,
    /// No version has logged in, and all that the store has were tried.
    InVain,
    Worked,
}

pub(super) struct Search {
    phase: Phase,
    past: Past,
    /// The server of the version in force cannot be reached.
    down: Option<Down>,
    grace: Duration,
    /// Why the last attempt failed.
    failure: Arc<str>,
    /// How the version in force was refused, if it was.
    refusal: Option<(Arc<str>, LoginFailure)>,
    /// Rounds of the search so far.
    rounds: u64,
    /// Versions that were tried in vain since one last worked, each once, the
    /// latest last.
    tried: Vec<Tried>,
    /// What was tried in vain before the version in force was adopted.
    tried_before: Vec<Tried>,
    /// Versions that were refused on the way to the one in force: while labels
    /// stay as they are, there is no hurry to try them again.
    passed_over: Vec<VersionId>,
}

impl Search {
    /// `grace`: the time without success after which attempts become few.
    pub fn new(grace: Duration, now: Instant) -> Self {
        let failure: Arc<str> = trouble::NOT_YET.into();
        Self {
            phase: Phase::Seeking {
                since: now,
                pace: Pace::new(grace, now),
                round: Round::new(1, None),
                announced: failure.clone(), // there is nothing to announce
            },
            past: Past::Untold,
            down: None,
            grace,
            failure,
            refusal: None,
            rounds: 1,
            tried: Vec::new(),
            tried_before: Vec::new(),
            passed_over: Vec::new(),
        }
    }

    /// Sets how long attempts are made at full pace, after a reload.
    pub fn set_grace(&mut self, grace: Duration) {
        self.grace = grace;
    }

    /// Whether nothing logs in, and attempts have become few and far between.
    pub fn is_stuck(&self, now: Instant) -> bool {
        matches!(&self.phase, Phase::Seeking { pace, .. } if pace.is_open(now))
    }

    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    pub fn tried_before(&self) -> &[Tried] {
        &self.tried_before
    }

    /// A probe has worked. `new`: its version was not in force before.
    pub fn worked(&mut self, new: bool) {
        self.passed_over = match &self.phase {
            Phase::Seeking { round, .. } => round.refused(&self.tried),
            Phase::Steady | Phase::Proving { .. } => Vec::new(),
        };
        let tried = std::mem::take(&mut self.tried);
        if new {
            self.tried_before = tried;
        }
        self.phase = Phase::Steady;
        self.past = Past::Worked;
        self.down = None;
        self.refusal = None;
    }

    /// The version in force does not log in any more. `true`: that is new.
    pub fn refused(
        &mut self,
        in_force: VersionId,
        why: Arc<str>,
        failure: LoginFailure,
        now: Instant,
    ) -> bool {
        if self.is_seeking() {
            return false;
        }
        self.refusal = Some((why.clone(), failure));
        self.failure = why;
        self.down = None;
        self.rounds += 1;
        self.phase = Phase::Seeking {
            since: now,
            pace: Pace::new(self.grace, now),
            round: Round::new(self.rounds, Some(in_force)),
            announced: "".into(),
        };
        true
    }
}

#[cfg(test)]
mod tests;
