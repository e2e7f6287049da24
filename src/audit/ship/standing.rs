//! Whether a sink takes what it should, for those who look after the proxy.

use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

/// What a sink has not taken after this time is late: sinks send every few seconds.
const LATE: Duration = Duration::from_secs(60);
/// An error that is over sooner is none that a person has to see.
const PATIENCE: Duration = Duration::from_secs(10);

/// A sink that does not take what it should have by now.
#[derive(Debug, Clone)]
pub struct SinkTrouble {
    pub name: String,
    pub since: SystemTime,
    /// Why records could not be sent, if that is it.
    pub why: Option<String>,
    /// How many records wait.
    pub waiting: u64,
}

/// How one sink stands.
#[derive(Default)]
pub(super) struct Standing(Mutex<State>);

#[derive(Default)]
struct State {
    /// Since when records cannot be sent, and why.
    failing: Option<(SystemTime, String)>,
    /// A record that was the last one then, and is not taken yet.
    behind: Option<Behind>,
    waiting: u64,
}

struct Behind {
    record: u64,
    seen: Instant,
    at: SystemTime,
}

impl Standing {
    /// The number of the last record that was taken, and of the last one that there is.
    pub fn stands(&self, taken: u64, written: u64) {
        self.stands_at(taken, written, Instant::now());
    }

    fn stands_at(&self, taken: u64, written: u64, now: Instant) {
        let mut state = self.0.lock();
        state.waiting = written.saturating_sub(taken);
        // A sink that is never done with a busy log, but goes on, is not behind.
        if state.behind.as_ref().is_none_or(|b| taken >= b.record) {
            state.behind = (state.waiting > 0).then(|| Behind {
                record: written,
                seen: now,
                at: SystemTime::now(),
            });
        }
    }

    /// Records could not be sent. `true`: before, they could.
    pub fn failed(&self, why: &str) -> bool {
        let mut state = self.0.lock();
        let since = state.failing.as_ref().map(|(since, _)| *since);
        state.failing = Some((since.unwrap_or_else(SystemTime::now), why.to_owned()));
        since.is_none()
    }

    /// Records were sent. `true`: before, they could not be.
    pub fn recovered(&self) -> bool {
        self.0.lock().failing.take().is_some()
    }

    /// Nobody sends any more.
    pub fn ended(&self) {
        *self.0.lock() = State::default();
    }

    pub fn trouble(&self, name: &str) -> Option<SinkTrouble> {
        self.trouble_at(name, Instant::now())
    }

    fn trouble_at(&self, name: &str, now: Instant) -> Option<SinkTrouble> {
        let state = self.0.lock();
        let failing = state.failing.as_ref();
        let failing = failing.filter(|(since, _)| since.elapsed().is_ok_and(|t| t >= PATIENCE));
        let late = |b: &&Behind| now.saturating_duration_since(b.seen) >= LATE;
        let (since, why) = match (failing, state.behind.as_ref().filter(late)) {
            (Some((since, why)), _) => (*since, Some(why.clone())),
            (None, Some(behind)) => (behind.at, None),
            (None, None) => return None,
        };
        Some(SinkTrouble {
            name: name.to_owned(),
            since,
            why,
            waiting: state.waiting,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_on_is_not_behind_and_who_stops_is() {
        let (standing, start) = (Standing::default(), Instant::now());
        let at = |s| start + Duration::from_secs(s);
        for s in 0..300 {
            standing.stands_at(s * 10, s * 10 + 5, at(s));
            assert!(standing.trouble_at("siem", at(s)).is_none(), "{s}");
        }
        for s in 300..400 {
            standing.stands_at(2995, s * 10, at(s));
            let trouble = standing.trouble_at("siem", at(s));
            assert_eq!(trouble.is_some(), s >= 360, "{s}");
        }
        let trouble = standing.trouble_at("siem", at(400)).expect("it is behind");
        assert_eq!((trouble.why, trouble.waiting), (None, 3990 - 2995));
        standing.stands_at(4000, 4000, at(400));
        assert!(standing.trouble_at("siem", at(500)).is_none());
    }

    #[test]
    fn the_log_is_told_once() {
        let standing = Standing::default();
        assert!(standing.failed("no") && !standing.failed("never"));
        assert!(standing.recovered() && !standing.recovered());
    }
}
