//! Which denials have a record of their own, and how many of each kind had none.
//!
//! A client that is not let in may try as often as it likes. The records that this writes
//! into the log are limited, for each address and in all; denials beyond that are counted,
//! and reported in one record for each address and reason. No denial goes unreported, and
//! memory does not grow with the number of attempts.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::origin::Origin;

/// Origins that have a budget of their own; further ones share one.
const ORIGINS: usize = 10_000;

/// Summaries of one round; what is left over is summed up by reason alone.
const SUMMARIES: usize = 500;

/// All origins together may have this many times the records of one.
const ALL_TOGETHER: u32 = 10;

/// Denials that have no record of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// `None`: denials of more origins than are named.
    pub origin: Option<Origin>,
    pub reason: &'static str,
    pub count: u64,
}

/// Decides which denials are recorded one by one, and counts the others.
pub struct Denials(Mutex<Ledger>);

impl Denials {
    /// `per_second`: records of one origin.
    pub fn new(per_second: u32) -> Self {
        Self(Mutex::new(Ledger::new(per_second)))
    }

    /// Takes note of a denial; `true` if it has a record of its own, `false` if it was
    /// counted for a summary.
    pub fn note(&self, origin: Origin, reason: &'static str) -> bool {
        self.0.lock().note(origin, reason, Instant::now())
    }

    /// Counts a denial for a summary.
    pub fn count(&self, origin: Origin, reason: &'static str) {
        self.0.lock().count(origin, reason, Instant::now());
    }

    /// Other budgets, from now on.
    pub fn set_per_second(&self, per_second: u32) {
        self.0.lock().interval = interval(per_second);
    }

    /// Takes what has been counted since the last call.
    pub fn summaries(&self) -> Vec<Summary> {
        self.0.lock().summaries()
    }
}

struct Ledger {
    /// The time between two records of one origin that has used up its budget.
    interval: Duration,
    accounts: HashMap<Origin, Account>,
    /// The account of the origins beyond [`ORIGINS`].
    others: Account,
    together: Budget,
}

#[derive(Default)]
struct Account {
    budget: Budget,
    /// Denials without a record by reason, of which there are few.
    counted: HashMap<&'static str, u64>,
}

/// Allows as many records at once as fit into a second, and then one for each interval. A
/// denial that finds the budget empty leaves no debt.
#[derive(Default)]
struct Budget {
    /// When the next record is due; the further in the past, the more are.
    due: Option<Instant>,
}

impl Budget {
    fn has(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }

    fn take(&mut self, interval: Duration, now: Instant) {
        let earliest = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let due = self.due.map_or(earliest, |due| due.max(earliest));
        self.due = Some(due + interval);
    }

    /// Whether nothing was taken for so long that the budget need not be kept.
    fn is_full(&self, now: Instant) -> bool {
        let second = Duration::from_secs(1);
        self.due
            .is_none_or(|due| now.saturating_duration_since(due) >= second)
    }
}

fn interval(per_second: u32) -> Duration {
    Duration::from_secs(1) / per_second.max(1)
}

impl Ledger {
    fn new(per_second: u32) -> Self {
        Self {
            interval: interval(per_second),
            accounts: HashMap::new(),
            others: Account::default(),
            together: Budget::default(),
        }
    }

    fn note(&mut self, origin: Origin, reason: &'static str, now: Instant) -> bool {
        let (interval, has) = (self.interval, self.together.has(now));
        let account = self.account(origin, now);
        if has && account.budget.has(now) {
            account.budget.take(interval, now);
            self.together.take(interval / ALL_TOGETHER, now);
            return true;
        }
        *account.counted.entry(reason).or_default() += 1;
        false
    }

    fn count(&mut self, origin: Origin, reason: &'static str, now: Instant) {
        let account = self.account(origin, now);
        *account.counted.entry(reason).or_default() += 1;
    }

    fn account(&mut self, origin: Origin, now: Instant) -> &mut Account {
        if self.accounts.len() >= ORIGINS && !self.accounts.contains_key(&origin) {
            self.accounts
                .retain(|_, a| !a.counted.is_empty() || !a.budget.is_full(now));
        }
        match self.accounts.len() < ORIGINS || self.accounts.contains_key(&origin) {
            true => self.accounts.entry(origin).or_default(),
            false => &mut self.others,
        }
    }

    fn summaries(&mut self) -> Vec<Summary> {
        let mut summaries = Vec::new();
        let mut rest: HashMap<&'static str, u64> = std::mem::take(&mut self.others.counted);
        for (origin, account) in &mut self.accounts {
            for (reason, count) in account.counted.drain() {
                if summaries.len() < SUMMARIES {
                    summaries.push(Summary {
                        origin: Some(*origin),
                        reason,
                        count,
                    });
                } else {
                    *rest.entry(reason).or_default() += count;
                }
            }
        }
        let of_all = rest.into_iter().map(|(reason, count)| Summary {
            origin: None,
            reason,
            count,
        });
        summaries.extend(of_all);
        summaries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(n: u32) -> Origin {
        Origin::Address(std::net::Ipv4Addr::from(n).into())
    }

    fn total(summaries: &[Summary]) -> u64 {
        summaries.iter().map(|s| s.count).sum()
    }

    #[test]
    fn an_address_has_so_many_records_a_second_and_owes_nothing() {
        let mut ledger = Ledger::new(10);
        let now = Instant::now() + Duration::from_secs(60);
        let recorded = |ledger: &mut Ledger, n: u32, now| {
            (0..n)
                .filter(|_| ledger.note(origin(1), "no_rule", now))
                .count()
        };
        assert_eq!(recorded(&mut ledger, 3000, now), 11);
        assert!(ledger.note(origin(2), "no_rule", now), "others have theirs");
        let expected = Summary {
            origin: Some(origin(1)),
            reason: "no_rule",
            count: 3000 - 11,
        };
        assert_eq!(ledger.summaries(), [expected]);
        assert_eq!(ledger.summaries(), []);
        // However many there were, a moment later there is room again.
        let later = now + Duration::from_millis(100);
        assert_eq!(recorded(&mut ledger, 5, later), 1);
        assert_eq!(total(&ledger.summaries()), 4);
        let much_later = now + Duration::from_secs(60);
        assert_eq!(recorded(&mut ledger, 3000, much_later), 11);
    }

    #[test]
    fn all_addresses_together_have_an_end_and_nothing_is_lost() {
        let mut ledger = Ledger::new(10);
        let now = Instant::now() + Duration::from_secs(60);
        let all = ORIGINS as u32 * 3;
        let recorded = (0..all)
            .filter(|n| ledger.note(origin(*n), "malformed", now))
            .count();
        assert_eq!(recorded, 101);
        assert!(ledger.accounts.len() <= ORIGINS);
        let summaries = ledger.summaries();
        assert!(summaries.len() <= SUMMARIES + 1, "{}", summaries.len());
        assert_eq!(total(&summaries), u64::from(all) - 101);
        // Origins that were quiet since are forgotten.
        ledger.note(origin(all), "malformed", now + Duration::from_secs(2));
        assert_eq!(ledger.accounts.len(), 1);
    }
}
