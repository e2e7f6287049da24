//! Messages that would come too often.

use std::time::{Duration, Instant};

/// Lets one of many like messages pass in a period, with the number of those before it that
/// did not.
pub struct Seldom {
    period: Duration,
    last: Option<Instant>,
    held_back: u64,
}

impl Seldom {
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            last: None,
            held_back: 0,
        }
    }

    /// Notes a message; if it is to be written, how many there were since the last one, this
    /// one included.
    pub fn note(&mut self, now: Instant) -> Option<u64> {
        self.held_back += 1;
        let due = |last: Instant| now.saturating_duration_since(last) >= self.period;
        if !self.last.is_none_or(due) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_period_passes_and_none_is_forgotten() {
        let mut seldom = Seldom::new(Duration::from_secs(10));
        let start = Instant::now();
        let mut at = |s: u64| seldom.note(start + Duration::from_secs(s));
        assert_eq!(
            [at(0), at(1), at(9), at(10), at(30)],
            [Some(1), None, None, Some(3), Some(1)]
        );
    }
}
