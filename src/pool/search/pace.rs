//! How fast attempts to log in follow each other.

use std::time::{Duration, Instant};

use crate::base::jitter::{Backoff, jittered};

/// The pause after the first attempt.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause before the breaker opens.
pub(super) const LAST_PAUSE: Duration = Duration::from_secs(2);
/// The pause once the breaker is open: the server logs refusals, and they count
/// where roles are locked after a number of them.
pub(super) const OPEN_PAUSE: Duration = Duration::from_secs(30);

/// How fast attempts follow each other: from 100 ms to 2 s, and slowly once
/// none has succeeded for `grace`: then the breaker is open.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    grace: Duration,
    backoff: Backoff,
}

impl Pace {
    /// `grace`: the time after which attempts are slow.
    pub fn new(grace: Duration, now: Instant) -> Self {
        Self {
            since: now,
            grace,
            backoff: Backoff::new(FIRST_PAUSE, LAST_PAUSE),
        }
    }

    /// Begins the time of grace anew.
    pub fn start_again(&mut self, now: Instant) {
        self.since = now;
    }

    /// Whether attempts have become few and far between.
    pub fn is_open(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.grace
    }

    /// How long to wait before the next attempt, however long none has succeeded.
    pub fn brisk_pause(&mut self) -> Duration {
        self.backoff.wait()
    }

    /// How long to wait before the next attempt.
    pub fn pause(&mut self, now: Instant) -> Duration {
        match self.is_open(now) {
            true => jittered(OPEN_PAUSE),
            false => self.backoff.wait(),
        }
    }
}
