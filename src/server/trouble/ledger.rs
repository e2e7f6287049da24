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

/// What comes back within this time was not over: the log does not tell of every beat of
/// something that comes and goes.
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
            if gone >= SETTLED {
                say_over(*kind, place, entry);
            }
            gone < SETTLED
        });
        troubles
    }

    fn one(&mut self, finding: Finding, now: Instant) -> Option<Trouble> {
        let key = (finding.kind, finding.place.clone());
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            since: SystemTime::now(),
            began: now,
            seen: now,
            said: None,
            sentence: String::new(),
        });
        entry.seen = now;
        entry.since = finding.since.unwrap_or(entry.since);
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
