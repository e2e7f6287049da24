//! What the rules decided, and why.

use std::sync::Arc;

use super::{Mismatch, Request, Rule};
use crate::audit::IdentityRef;
use crate::pool::{Database, Quota};
use crate::secret::SecretId;

/// What the rules let a client use.
#[derive(Debug, Clone)]
pub struct Grant {
    pub client: Arc<Rule>,
    pub database: Arc<Database>,
    pub secret: SecretId,
    pub identity: Arc<IdentityRef>,
    /// Server connections that the rule's clients may hold at once, together.
    pub quota: Quota,
}

/// Why nobody let a client in. For the record and the metrics only: the client
/// gets the same answer in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    UnknownDatabase,
    NoRule,
}

impl Denial {
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownDatabase => "unknown_database",
            Self::NoRule => "no_rule",
        }
    }
}

/// The outcome, and what each rule had to say, in their order.
#[derive(Debug)]
pub struct Decision {
    pub grant: Result<Grant, Denial>,
    pub rules: Vec<Weighed>,
}

/// A rule, and what of it does not hold.
#[derive(Debug)]
pub struct Weighed {
    pub client: Arc<Rule>,
    pub mismatches: Vec<Mismatch>,
}

impl Weighed {
    pub fn matches(&self) -> bool {
        self.mismatches.is_empty()
    }

    /// A few words for each mismatch.
    pub fn because(&self, request: &Request<'_>) -> Vec<String> {
        self.mismatches
            .iter()
            .map(|m| m.because(&self.client, request))
            .collect()
    }
}

impl Decision {
    /// For the log, in one line: what kept each rule from matching that grants
    /// the database.
    pub fn why_not(&self, request: &Request<'_>) -> String {
        let near = |r: &&Weighed| !r.matches() && !r.mismatches.contains(&Mismatch::Database);
        let rules: Vec<String> = self
            .rules
            .iter()
            .filter(near)
            .map(|r| {
                let (rule, name) = (r.client.rule, &r.client.name);
                format!("rule {rule} ({name}): {}", r.because(request).join(", "))
            })
            .collect();
        match rules.is_empty() {
            true => "no rule grants this database".to_owned(),
            false => rules.join("; "),
        }
    }
}
