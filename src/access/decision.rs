//! What the rules have decided, and why.

use std::sync::Arc;

use super::{Denial, Mismatch, Request, Rule};
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
    /// The server connections that all clients of the rule together may hold at once.
    pub quota: Quota,
}

/// The outcome, and what each rule had to say, in the order of the file.
#[derive(Debug)]
pub struct Decision {
    pub grant: Result<Grant, Denial>,
    pub rules: Vec<Weighed>,
}

/// A rule, and which of its conditions do not hold.
#[derive(Debug)]
pub struct Weighed {
    pub rule: Arc<Rule>,
    pub mismatches: Vec<Mismatch>,
}

impl Weighed {
    pub fn matches(&self) -> bool {
        self.mismatches.is_empty()
    }

    /// Why each condition does not hold, in a few words.
    pub fn because(&self, request: &Request<'_>) -> Vec<String> {
        self.mismatches
            .iter()
            .map(|m| m.because(&self.rule, request))
            .collect()
    }
}

impl Decision {
    /// One line for the log: for each rule that grants the database, why it does not
    /// match.
    pub fn why_not(&self, request: &Request<'_>) -> String {
        let near = |r: &&Weighed| !r.matches() && !r.mismatches.contains(&Mismatch::Database);
        let rules: Vec<String> = self
            .rules
            .iter()
            .filter(near)
            .map(|r| {
                let (number, name) = (r.rule.number, &r.rule.name);
                format!("rule {number} ({name}): {}", r.because(request).join(", "))
            })
            .collect();
        match rules.is_empty() {
            true => "no rule grants this database".to_owned(),
            false => rules.join("; "),
        }
    }
}
