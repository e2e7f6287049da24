//! Which denials have a record of their own, and how many of each kind had none.
//!
//! Whoever is not let in may try as often as it likes; what that writes into the log has
//! an end, for each address and in all. What goes beyond it is counted, and told of in one
//! record for each address and reason. Nothing is dropped in silence, and nothing here
//! grows with the number of attempts.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Origin;

/// Addresses that are kept apart; further ones are one.
const ORIGINS: usize = 10_000;

/// Summaries in one round; what is left over is one for each reason.
const SUMMARIES: usize = 500;

/// So many times what one address may have recorded, all together may.
const ALL_TOGETHER: u32 = 10;

/// Denials that have no record of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// `None`: of too many addresses to name them.
    pub origin: Option<Origin>,
    pub reason: &'static str,
    pub count: u64,
}

pub(super) struct Ledger {
    /// Between two records of one address, when it has had its share.
    every: Duration,
    accounts: HashMap<Origin, Account>,
    /// Of those beyond [`ORIGINS`].
    others: Account,
    together: Budget,
}

#[derive(Default)]
struct Account {
    budget: Budget,
    /// By reason, of which there are few.
    untold: HashMap<&'static str, u64>,
}

/// So many at once as fit into a second, and then one by one. Who finds it empty owes
/// nothing afterwards.
#[derive(Default)]
struct Budget {
    /// When the next one is free; in the past, more than one is.
    due: Option<Instant>,
}

impl Budget {
    fn has(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }

    fn take(&mut self, every: Duration, now: Instant) {
        let earliest = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let due = self.due.map_or(earliest, |due| due.max(earliest));
        self.due = Some(due + every);
    }

    /// Nothing was taken from it for so long that it need not be kept.
    fn is_full(&self, now: Instant) -> bool {
        let second = Duration::from_secs(1);
        self.due
            .is_none_or(|due| now.saturating_duration_since(due) >= second)
    }
}

impl Ledger {
    pub fn new(per_second: u32) -> Self {
        Self {
            every: Duration::from_secs(1) / per_second.max(1),
            accounts: HashMap::new(),
            others: Account::default(),
            together: Budget::default(),
        }
    }

    /// A denial: whether it has a record of its own. If not, it is counted.
    pub fn note(&mut self, origin: Origin, reason: &'static str, now: Instant) -> bool {
        if self.accounts.len() >= ORIGINS && !self.accounts.contains_key(&origin) {
            self.accounts
                .retain(|_, a| !a.untold.is_empty() || !a.budget.is_full(now));
        }
        let account = match self.accounts.len() < ORIGINS || self.accounts.contains_key(&origin) {
            true => self.accounts.entry(origin).or_default(),
            false => &mut self.others,
        };
        if account.budget.has(now) && self.together.has(now) {
            account.budget.take(self.every, now);
            self.together.take(self.every / ALL_TOGETHER, now);
            return true;
        }
        *account.untold.entry(reason).or_default() += 1;
        false
    }

    /// What has been counted since the last time.
    pub fn summaries(&mut self) -> Vec<Summary> {
        let mut told = Vec::new();
        let mut rest: HashMap<&'static str, u64> = std::mem::take(&mut self.others.untold);
        for (origin, account) in &mut self.accounts {
            for (reason, count) in account.untold.drain() {
                if told.len() < SUMMARIES {
                    told.push(Summary {
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
        told.extend(of_all);
        told
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
        // Those who were quiet since are forgotten.
        ledger.note(origin(all), "malformed", now + Duration::from_secs(2));
        assert_eq!(ledger.accounts.len(), 1);
    }
}
