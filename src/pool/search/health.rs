//! Whether logins work, as the search knows it.

use std::sync::Arc;
use std::time::Instant;

use super::{Past, Phase, Search, Verdict};
use crate::secret::Standing;
use crate::wire::LoginFailure;

/// Whether logins work.
pub(in crate::pool) enum Health<'a> {
    /// The version in force logged in the last time it was tried.
    Good,
    /// The server cannot be reached, or refuses for a reason that has nothing to
    /// do with the credential. One attempt at a time, with backoff.
    Down(&'a Down),
    /// No version is known that logs in.
    Seeking { since: Instant },
}

/// A server that lets nobody in.
#[derive(Debug)]
pub(in crate::pool) struct Down {
    message: Arc<str>,
    /// What clients are told.
    failure: LoginFailure,
    /// The obstacle may pass although nothing is changed.
    passes: bool,
}

impl Down {
    pub fn new(message: Arc<str>, failure: LoginFailure, passes: bool) -> Self {
        Self {
            message,
            failure,
            passes,
        }
    }
}

/// What stands between a client and a new server connection.
pub(in crate::pool) enum Obstacle {
    /// The server lets nobody in. `failure`: what clients are told; `passes`: it may pass
    /// although nothing is changed.
    Server { failure: LoginFailure, passes: bool },
    /// No version is known that logs in. `never`: none ever did, and all that the store has
    /// were tried.
    NoVersion { since: Instant, never: bool },
}

impl Search {
    pub fn health(&self) -> Health<'_> {
        match (&self.phase, &self.down) {
            (Phase::Seeking { since, .. }, _) => Health::Seeking { since: *since },
            (_, Some(down)) => Health::Down(down),
            (_, None) => Health::Good,
        }
    }

    /// What stands in the way of a login, if anything.
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self.health() {
            Health::Good => None,
            Health::Down(down) => Some(Obstacle::Server {
                failure: down.failure,
                passes: down.passes,
            }),
            Health::Seeking { since } => {
                let last = self.tried.last().filter(|t| t.verdict.is_of_the_place());
                Some(match last {
                    Some(last) => Obstacle::Server {
                        failure: last.failure.unwrap_or(LoginFailure::Unreachable),
                        passes: last.verdict == Verdict::Later,
                    },
                    None => Obstacle::NoVersion {
                        since,
                        never: self.past == Past::InVain,
                    },
                })
            }
        }
    }

    /// The kind of what stands in the way of a login.
    pub fn known_failure(&self) -> Option<LoginFailure> {
        match self.obstacle()? {
            Obstacle::Server { failure, .. } => Some(failure),
            Obstacle::NoVersion { .. } => self.last_failure(),
        }
    }

    pub fn is_good(&self) -> bool {
        matches!(self.health(), Health::Good)
    }

    pub fn is_seeking(&self) -> bool {
        matches!(self.phase, Phase::Seeking { .. })
    }

    /// Why logins do not work, if they do not.
    pub fn problem(&self) -> Option<Arc<str>> {
        match self.health() {
            Health::Good => None,
            Health::Down(down) => Some(down.message.clone()),
            Health::Seeking { .. } => Some(self.reason().0.clone()),
        }
    }

    /// Why no version logs in, and what clients may know of that. Older versions are tried
    /// behind AWSCURRENT, and how they are refused says little.
    fn reason(&self) -> (&Arc<str>, Option<LoginFailure>) {
        let Some(last) = self.tried.last() else {
            let refusal = self.refusal.as_ref();
            return (&self.failure, refusal.map(|(_, failure)| *failure));
        };
        if last.why != self.failure {
            return (&self.failure, last.failure); // not of a login: of a look at the store, say
        }
        let current = self.tried.iter().rfind(|t| t.standing == Standing::Current);
        match (current, &self.refusal) {
            (Some(current), _) => (&current.why, current.failure),
            (None, Some((why, failure))) => (why, Some(*failure)),
            (None, None) => (&last.why, last.failure),
        }
    }

    /// The server of the version in force cannot be reached.
    pub fn is_down(&mut self, down: Down) {
        // While no version logs in, that is looked for first.
        if !self.is_seeking() {
            self.down = Some(down);
        }
    }

    /// The server of the version in force is there.
    pub fn is_reached(&mut self) {
        self.down = None;
    }

    /// What clients may know of why no version logs in.
    pub fn last_failure(&self) -> Option<LoginFailure> {
        self.reason().1
    }

    /// Why no version logs in, if that was not announced yet.
    pub fn announce(&mut self) -> Option<Arc<str>> {
        let reason = self.reason().0.clone();
        let Phase::Seeking { announced, .. } = &mut self.phase else {
            return None;
        };
        if *announced == reason {
            return None;
        }
        announced.clone_from(&reason);
        Some(reason)
    }
}
