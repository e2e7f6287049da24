//! The rules in force, and how they decide.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::aws_iam::Callers;
use super::mismatch::{Mismatch, Request, mismatches};
use super::token::{Issuers, Rejected};
use super::{
    Ask, ConsoleGrant, Decision, Denial, Evidence, Grant, Granted, Rule, Weighed, is_console,
};
use crate::net::Peer;
use crate::pool::{Database, Quota};

/// The rules in force.
pub struct Policy {
    databases: BTreeMap<Arc<str>, Arc<Database>>,
    rules: Vec<Arc<Rule>>,
    /// The server connections that the clients of each rule may hold at once.
    quotas: Vec<Quota>,
    issuers: Issuers,
    callers: Callers,
}

impl Policy {
    /// Makes the policy that takes the place of `before`, and keeps of that one the keys of
    /// issuers, the answers of STS, and the quotas of rules that have not changed: their sessions
    /// hold parts of them.
    pub fn new(
        rules: &[Arc<Rule>],
        databases: &BTreeMap<Arc<str>, Arc<Database>>,
        before: Option<&Self>,
    ) -> Self {
        let quota = |rule: &Arc<Rule>| {
            let same = |(old, _): &(&Arc<Rule>, &Quota)| {
                old.name == rule.name && old.pool_size == rule.pool_size
            };
            let kept = before.and_then(|p| p.rules.iter().zip(&p.quotas).find(same));
            kept.map_or_else(|| Quota::new(rule.pool_size), |(_, quota)| quota.clone())
        };
        let tokens = rules.iter().filter_map(|r| r.identity.token.as_ref());
        let with_aws_iam = rules.iter().any(|r| r.identity.aws_iam.is_some());
        let issuers = before.map(|b| b.issuers.clone()).unwrap_or_default();
        let callers = before.map(|b| b.callers.clone()).unwrap_or_default();
        Self {
            databases: databases.clone(),
            quotas: rules.iter().map(quota).collect(),
            rules: rules.to_vec(),
            issuers: Issuers::new(tokens, &issuers),
            callers: Callers::new(with_aws_iam, &callers),
        }
    }

    /// The rules in the order of the file.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// What the client has to be asked for: what a rule wants that would come before the rule that
    /// decides without it.
    ///
    /// Where no rule would let the client in without being asked, every rule counts
    /// that fits the connection, whatever it grants: being asked must not tell an
    /// unknown database from a known one.
    pub fn asks_for(&self, request: &Request<'_>) -> Option<Ask<'_>> {
        let mut first = None;
        for rule in &self.rules {
            let mismatches = mismatches(rule, request);
            if mismatches.is_empty() {
                return None;
            }
            let ask = |m: &Mismatch| m.ask(rule, request.evidence);
            let asked = mismatches.iter().find_map(ask);
            let mut others = mismatches.iter().filter(|m| ask(m).is_none()).peekable();
            if others.peek().is_none() {
                return asked;
            }
            if others.all(|m| m.is_about_request()) {
                first = first.or(asked);
            }
        }
        first
    }

    /// Asks the issuers of the rules, or STS, about what a client presented, and
    /// adds what they say to the evidence.
    ///
    /// # Errors
    /// [`Rejected`] where nobody vouches for it.
    pub async fn examine(&self, token: &str, evidence: &mut Evidence) -> Result<(), Rejected> {
        let rules = self.rules.iter();
        // The request to STS is a web address, which no JWT is.
        if token.starts_with("http") {
            let rules = rules.filter_map(|r| r.identity.aws_iam.as_ref());
            evidence.aws = Some(self.callers.identify(token, rules).await?);
        } else {
            let rules = rules.filter_map(|r| r.identity.token.as_ref());
            evidence.tokens = self.issuers.verify(token, rules).await?;
        }
        Ok(())
    }

    /// Whether the system has to be asked for the client's account: always on a
    /// unix socket, because the record names it; over loopback if a rule asks.
    pub fn asks_for_account(&self, evidence: &Evidence) -> bool {
        let by_loopback = |r: &Arc<Rule>| r.identity.loopback_user.is_some();
        match evidence.peer {
            Peer::Unix { .. } => true,
            Peer::Tcp(_) => evidence.is_over_loopback() && self.rules.iter().any(by_loopback),
        }
    }

    /// Weighs every rule, also for an unknown database, so that the answer takes as
    /// long.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let rules: Vec<Weighed> = self
            .rules
            .iter()
            .map(|rule| Weighed {
                rule: rule.clone(),
                mismatches: mismatches(rule, request),
            })
            .collect();
        let first = rules.iter().zip(&self.quotas).find(|(r, _)| r.matches());
        let identity = || Arc::new(request.evidence.identity());
        let grant = match (self.databases.get(request.database), first) {
            (None, _) if !is_console(request.database) => Err(Denial::UnknownDatabase),
            (_, None) => Err(Denial::NoRule),
            (Some(database), Some((Weighed { rule, .. }, quota))) => Ok(Granted::Database(Grant {
                quota: quota.clone(),
                client: rule.clone(),
                database: database.clone(),
                secret: (rule.secret.clone()).unwrap_or_else(|| database.secret.clone()),
                identity: identity(),
            })),
            (None, Some((Weighed { rule, .. }, _))) => match rule.admin {
                Some(right) => Ok(Granted::Console(ConsoleGrant {
                    client: rule.clone(),
                    identity: identity(),
                    right,
                })),
                None => Err(Denial::NoRule),
            },
        };
        Decision { grant, rules }
    }
}
