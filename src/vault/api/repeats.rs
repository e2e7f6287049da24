//! Calls that repeat: some of each kind are recorded one by one, the rest is
//! counted, and the next record says how many there were. So nobody without a key
//! can fill a disk, and a proxy that looks at its secrets every minute does not hide
//! what matters.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many kinds of calls are remembered. Beyond that the oldest is forgotten.
const KINDS: usize = 4096;

/// How many calls of a kind are recorded within a time.
#[derive(Clone, Copy)]
pub struct Budget {
    pub records: u32,
    pub within: Duration,
}

struct Seen {
    since: Instant,
    recorded: u32,
    withheld: u64,
}

/// Counts calls by kind.
#[derive(Default)]
pub struct Repeats(Mutex<HashMap<String, Seen>>);

impl Repeats {
    /// How many calls of this kind were not recorded since the last record. `None`:
    /// this call is not to be recorded either.
    pub fn admit(&self, kind: String, budget: Budget, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock();
        if kinds.len() >= KINDS && !kinds.contains_key(&kind) {
            let oldest = kinds.iter().min_by_key(|(_, seen)| seen.since);
            if let Some(oldest) = oldest.map(|(kind, _)| kind.clone()) {
                kinds.remove(&oldest);
            }
        }
        let seen = kinds.entry(kind).or_insert(Seen {
            since: now,
            recorded: 0,
            withheld: 0,
        });
        if now.saturating_duration_since(seen.since) >= budget.within {
            (seen.since, seen.recorded) = (now, 0);
        }
        if seen.recorded >= budget.records {
            seen.withheld += 1;
            return None;
        }
        seen.recorded += 1;
        Some(std::mem::take(&mut seen.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_withheld_is_counted_and_told() {
        let repeats = Repeats::default();
        let budget = Budget {
            records: 2,
            within: Duration::from_secs(60),
        };
        let start = Instant::now();
        let admit = |kind: &str, seconds| {
            let now = start + Duration::from_secs(seconds);
            repeats.admit(kind.to_owned(), budget, now)
        };
        assert_eq!(admit("a", 0), Some(0));
        assert_eq!(admit("a", 1), Some(0));
        assert_eq!(admit("a", 2), None);
        assert_eq!(admit("b", 3), Some(0), "each kind for itself");
        assert_eq!(admit("a", 59), None);
        assert_eq!(admit("a", 60), Some(2));
        assert_eq!(admit("a", 61), Some(0));
        assert_eq!(admit("a", 62), None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let repeats = Repeats::default();
        let budget = Budget {
            records: 1,
            within: Duration::from_secs(60),
        };
        let start = Instant::now();
        for n in 0..2 * KINDS {
            let now = start + Duration::from_millis(n as u64);
            assert_eq!(repeats.admit(n.to_string(), budget, now), Some(0));
        }
        assert_eq!(repeats.0.lock().len(), KINDS);
    }
}
