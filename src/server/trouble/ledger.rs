//! Since when something is wrong, and what the log says of it: when it begins, every ten
//! minutes while it lasts, and when it is over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use tracing::{info, warn};

use super::Finding;
use crate::admin::{Place, Trouble, TroubleKind};
use crate::base::duration::words;

/// How often the log says again what is still wrong.
const AGAIN: Duration = Duration::from_secs(600);

/// What comes back within this time was not over: it is wrong since it was found first, whatever
/// the part says that begins to count again, and the log does not tell of every beat of something
/// that comes and goes.
const SETTLED: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(super) struct Ledger {
    entries: BTreeMap<(TroubleKind, Place), Entry>,
}

struct Entry {
    since: SystemTime,
    /// When it was found first, and last.
    began: Instant,
    seen: Instant,
    /// Whether a look has not found it since.
    missed: bool,
    /// When the log said so last; `None` while it may still pass by itself.
    said: Option<Instant>,
    sentence: String,
}

impl Ledger {
    /// Takes in all that is wrong now. Returns what has lasted, the worst kinds first.
    pub fn note(&mut self, found: Vec<Finding>, now: Instant) -> Vec<Trouble> {
        let mut troubles: Vec<_> = found
            .into_iter()
            .filter_map(|finding| self.one(finding, now))
            .collect();
        troubles.sort_by(|a, b| (a.kind, &a.place).cmp(&(b.kind, &b.place)));
        self.entries.retain(|(kind, place), entry| {
            let gone = now.saturating_duration_since(entry.seen);
            if gone.is_zero() {
                return true;
            }
            if entry.said.is_none() {
                return false;
            }
            entry.missed = true;
            if gone >= SETTLED {
                say_over(*kind, place, entry);
            }
            gone < SETTLED
        });
        troubles
    }

    /// Forgets what was over before it came back: there may have been no look in between that
    /// could say so.
    fn forget_if_over(&mut self, key: &(TroubleKind, Place), now: Instant) {
        let is_over = |entry: &mut Entry| {
            entry.missed && now.saturating_duration_since(entry.seen) >= SETTLED
        };
        if self.entries.get_mut(key).is_some_and(is_over)
            && let Some(entry) = self.entries.remove(key)
        {
            say_over(key.0, &key.1, &entry);
        }
    }

    fn one(&mut self, finding: Finding, now: Instant) -> Option<Trouble> {
        let key = (finding.kind, finding.place.clone());
        self.forget_if_over(&key, now);
        let since = finding.since.unwrap_or_else(SystemTime::now);
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            since,
            began: now,
            seen: now,
            missed: false,
            said: None,
            sentence: String::new(),
        });
        entry.seen = now;
        entry.missed = false;
        entry.since = entry.since.min(since);
        if entry.said.is_none() && now.saturating_duration_since(entry.began) < finding.patience {
            return None;
        }
        let trouble = Trouble {
            kind: finding.kind,
            place: finding.place,
            since: rfc3339(entry.since),
            sentence: finding.sentence,
            remedy: finding.remedy,
        };
        match entry.said {
            None => say(&trouble, "trouble"),
            Some(said) if now.saturating_duration_since(said) >= AGAIN => {
                say(&trouble, "still trouble");
            }
            Some(_) => {
                entry.sentence.clone_from(&trouble.sentence);
                return Some(trouble);
            }
        }
        entry.said = Some(now);
        entry.sentence.clone_from(&trouble.sentence);
        Some(trouble)
    }
}

fn say(trouble: &Trouble, how: &str) {
    let Trouble {
        kind,
        place,
        since,
        sentence,
        remedy,
    } = trouble;
    let (database, secret) = names(place);
    warn!(%kind, database, secret, since, "{how}: {sentence}. What to do: {remedy}");
}

fn say_over(kind: TroubleKind, place: &Place, entry: &Entry) {
    let (database, secret) = names(place);
    let lasted = entry.since.elapsed().unwrap_or_default();
    info!(%kind, database, secret, "over after {}: {}", words(lasted), entry.sentence);
}

fn names(place: &Place) -> (Option<&str>, Option<&str>) {
    (place.database.as_deref(), place.secret.as_deref())
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: TroubleKind, patience: u64) -> Finding {
        Finding {
            kind,
            place: Place::default(),
            since: None,
            patience: Duration::from_secs(patience),
            sentence: format!("{kind}"),
            remedy: String::new(),
        }
    }

    const DOWN: TroubleKind = TroubleKind::DatabaseDown;

    #[test]
    fn what_passes_in_time_is_no_trouble() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(ledger.note(vec![finding(DOWN, 3)], at(0)).is_empty());
        assert!(ledger.note(vec![finding(DOWN, 3)], at(2)).is_empty());
        assert!(ledger.note(vec![], at(3)).is_empty());
        assert!(ledger.entries.is_empty());
        assert!(ledger.note(vec![finding(DOWN, 3)], at(4)).is_empty());
        assert_eq!(ledger.note(vec![finding(DOWN, 3)], at(7)).len(), 1);
    }

    #[test]
    fn what_comes_back_at_once_began_when_it_was_first_seen() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let since = |ledger: &mut Ledger, seconds| {
            let found = ledger.note(vec![finding(DOWN, 0)], at(seconds));
            found[0].since.clone()
        };
        let first = since(&mut ledger, 0);
        assert!(ledger.note(vec![], at(1)).is_empty(), "it is not shown");
        assert_eq!(since(&mut ledger, 4), first);
        ledger.note(vec![], at(5));
        assert_eq!(ledger.entries.len(), 1);
        ledger.note(vec![], at(9));
        assert!(ledger.entries.is_empty(), "it is over");
    }

    /// A part that knows since when begins to count again when it comes back.
    #[test]
    fn what_comes_back_at_once_keeps_the_first_time_that_its_part_gave() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let mut since = |began: u64, seconds: u64| {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(began);
            let found = Finding {
                since: Some(at),
                ..finding(DOWN, 0)
            };
            let found = ledger.note(vec![found], start + Duration::from_secs(seconds));
            ledger.note(vec![], start + Duration::from_secs(seconds + 1));
            found[0].since.clone()
        };
        assert_eq!(since(100, 0), "1970-01-01T00:01:40Z");
        assert_eq!(since(102, 2), "1970-01-01T00:01:40Z");
        assert_eq!(since(106, 6), "1970-01-01T00:01:40Z");
        // It was over, although nobody has looked since.
        assert_eq!(since(120, 20), "1970-01-01T00:02:00Z");
    }

    #[test]
    fn the_log_says_it_again_after_ten_minutes() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let mut said = Vec::new();
        for minute in 0..=21 {
            let now = start + Duration::from_secs(60 * minute);
            ledger.note(vec![finding(DOWN, 0)], now);
            let entry = ledger.entries.values().next().expect("an entry");
            said.push(entry.said);
        }
        said.dedup();
        assert_eq!(said.len(), 3);
    }

    #[test]
    fn the_worst_comes_first() {
        let found = vec![
            finding(TroubleKind::ReloadFailed, 0),
            finding(TroubleKind::AuditFails, 0),
            finding(DOWN, 0),
        ];
        let kinds: Vec<_> = Ledger::default()
            .note(found, Instant::now())
            .iter()
            .map(|t| t.kind)
            .collect();
        let order = [TroubleKind::AuditFails, DOWN, TroubleKind::ReloadFailed];
        assert_eq!(kinds, order);
    }
}
