//! Every call, allowed or denied, becomes a record in the audit log: who called
//! from where, about which secret and version, and when. Calls that would flood
//! the log are counted instead.

mod parameters;
mod record;

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ApiError;
use super::places::network;
use super::repeats::{Budget, Repeats};
use crate::audit::{Audit, AuditError, Record};

pub use parameters::parameters;
pub use record::Draft;

/// Reads of the proxy itself that return no value. It makes one for every secret
/// every minute; one an hour is recorded, with the number of those since.
const QUIET: [&str; 7] = [
    "DescribeSecret",
    "GetRandomPassword",
    "GetResourcePolicy",
    "ListResourcePolicies",
    "ListSecretVersionIds",
    "ListSecrets",
    "ValidateResourcePolicy",
];

const HOURLY: Budget = Budget {
    records: 1,
    within: Duration::from_secs(3600),
};
/// Calls of strangers, for each address.
const UNRECOGNISED: Budget = Budget {
    records: 60,
    within: Duration::from_secs(60),
};

/// Where records go. Without a log there is no trail.
#[derive(Clone, Default)]
pub struct Trail {
    audit: Option<Audit>,
    /// The user of this machine who works at the command line.
    operator: Option<Arc<str>>,
    /// The store's name; the default store has none.
    store: Option<Arc<str>>,
    repeats: Arc<Repeats>,
}

impl Trail {
    pub fn to(audit: Audit) -> Self {
        Self {
            audit: Some(audit),
            ..Self::default()
        }
    }

    /// The trail of a command, which acts in the name of the user who runs it.
    pub fn of_operator(audit: Audit, name: &str) -> Self {
        Self {
            operator: Some(name.into()),
            ..Self::to(audit)
        }
    }

    /// The trail of the store with this name, with repeats of its own.
    #[must_use]
    pub fn of_store(self, store: Option<Arc<str>>) -> Self {
        Self {
            store,
            repeats: Arc::default(),
            ..self
        }
    }

    pub fn is_kept(&self) -> bool {
        self.audit.is_some()
    }

    /// The record of a call, and one for each value that a batch read. A call that
    /// is merely counted has none.
    pub fn records(&self, draft: &Draft, error: Option<&ApiError>) -> Vec<Record> {
        let Some(withheld) = self.admit(draft, error) else {
            return Vec::new();
        };
        let mut records = draft.records(error, self.operator.as_deref(), withheld);
        for record in &mut records {
            record.store.clone_from(&self.store);
        }
        records
    }

    /// Whether a call is recorded, and how many like it were not since the last
    /// record.
    fn admit(&self, draft: &Draft, error: Option<&ApiError>) -> Option<u64> {
        let outcome = error.map_or("", |e| e.kind);
        let (kind, budget) = match &draft.caller {
            None => {
                let address = draft.peer.address.map(|a| network(a).to_string());
                let address = address.unwrap_or_default();
                (format!("{address} {outcome}"), UNRECOGNISED)
            }
            Some(caller) if caller.own && self.operator.is_none() => {
                if !QUIET.contains(&draft.operation.as_str()) {
                    return Some(0);
                }
                let arn = &draft.notes.borrow().subject.arn;
                let arn = arn.as_deref().unwrap_or_default();
                (format!("{} {arn} {outcome}", draft.operation), HOURLY)
            }
            Some(_) => return Some(0),
        };
        self.repeats.admit(kind, budget, Instant::now())
    }

    /// Records a call before its answer goes out.
    ///
    /// # Errors
    /// The call may not be answered without its records, and they cannot be written.
    pub async fn keep(&self, records: Vec<Record>) -> Result<(), AuditError> {
        let Some(audit) = &self.audit else {
            return Ok(());
        };
        for record in records {
            audit.admit(record).await?;
        }
        Ok(())
    }

    /// Records a change that is about to be committed, on a thread that may wait. A change that
    /// cannot be recorded is not made; one that is recorded and cannot be committed has a second
    /// record, which says so.
    ///
    /// # Errors
    /// The change may not be made without its records, and they cannot be written.
    pub fn keep_first(&self, draft: &Draft) -> Result<(), AuditError> {
        let Some(audit) = &self.audit else {
            return Ok(());
        };
        for record in self.records(draft, None) {
            audit.admit_here(record)?;
        }
        draft.kept.set(true);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::caller::{Caller, Peer};
    use super::*;

    fn count(trail: &Trail, draft: &Draft, calls: usize) -> usize {
        let records = (0..calls).map(|_| trail.records(draft, None).len());
        records.sum()
    }

    #[test]
    fn who_is_not_recognised_cannot_fill_the_disk() {
        let trail = Trail::default();
        let from = |last: u8| Draft {
            peer: Peer {
                address: Some([192, 0, 2, last].into()),
                ..Peer::default()
            },
            ..Draft::default()
        };
        assert_eq!(count(&trail, &from(1), 1000), 60);
        assert_eq!(count(&trail, &from(2), 1), 1, "each address for itself");
        // Nor has anybody with a /64 as many as that has addresses.
        let from = |last: u16| Draft {
            peer: Peer {
                address: Some([0x2001, 0xdb8, 0, 1, 0, 0, 0, last].into()),
                ..Peer::default()
            },
            ..Draft::default()
        };
        let all = (0..1000).map(|n| count(&trail, &from(n), 1));
        assert_eq!(all.sum::<usize>(), 60);
    }

    #[test]
    fn of_its_own_looks_a_proxy_records_one_and_a_command_all() {
        let mut draft = Draft {
            caller: Some(Caller::own()),
            ..Draft::default()
        };
        draft.operation("secretsmanager.DescribeSecret");
        assert_eq!(count(&Trail::default(), &draft, 100), 1);
        let operator = Trail {
            operator: Some("root".into()),
            ..Trail::default()
        };
        let of_b = operator.clone().of_store(Some("b".into()));
        let store = |trail: &Trail| trail.records(&draft, None)[0].store.clone();
        assert_eq!(store(&of_b).as_deref(), Some("b"));
        assert_eq!(store(&Trail::default()), None);
        assert_eq!(count(&operator, &draft, 100), 100);
        // A value is given away: each time is a record.
        draft.operation("secretsmanager.GetSecretValue");
        assert_eq!(count(&Trail::default(), &draft, 100), 100);
    }
}
