//! Who is a client, and what may it use?
//!
//! A client is known by how it connects, never by what it says. The first
//! `[[client]]` rule that matches and grants the database decides; nobody else
//! gets in.
//!
//! * `certificate` the names in a client's certificate
//! * `evidence` what is known of a connection, gathered once, before any rule is asked
//! * `loopback` whose a TCP connection over loopback is
//! * `rule`     whether a rule's conditions hold, and which do not
//! * `aws_iam`  callers that AWS STS vouches for
//! * `token`    tokens, and the issuers that vouch for them
//! * `decision` what all rules together say, and why
//!
//! Only gathering asks the system. Everything after it is a pure function of
//! the evidence, the words of the client and the time, so that a session, a
//! reload, `pgvalet explain` and the tests all see the same decision. Evidence
//! that has to be asked of the client (a password message) is gathered in the
//! handshake as well, before [`Policy::decide`].

pub mod aws_iam;
mod certificate;
mod certificate_name;
mod decision;
mod evidence;
mod loopback;
mod options;
mod rule;
pub mod token;
mod validity;

pub use aws_iam::{AwsIamRule, Sts};
pub use certificate::Certificate;
pub use certificate_name::CertificateName;
pub use decision::{Decision, Denial, Grant, Weighed};
pub use evidence::{Account, Evidence};
pub use options::{Rule, UserRef};
pub use rule::{Mismatch, Request};
pub use token::{TokenIssuer, TokenKeys, TokenMethod, TokenRule, web_address};
pub use validity::Validity;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::net::Peer;
use crate::pool::{Database, Quota};
use aws_iam::Callers;
use token::{Issuers, Rejected};

/// The rules in force.
pub struct Policy {
    databases: BTreeMap<Arc<str>, Arc<Database>>,
    clients: Vec<Arc<Rule>>,
    /// Beside each rule, what its clients may hold of a pool.
    quotas: Vec<Quota>,
    issuers: Issuers,
    callers: Callers,
}

/// What a client has to present, and how it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub method: TokenMethod,
    /// Where tokens come from; of AWS there is nothing to say.
    pub issuer: Option<&'a str>,
}

impl Policy {
    /// `before`: the one it takes the place of, whose issuers' keys are kept; and
    /// rules that are as they were share with the sessions they let in.
    pub fn new(
        rules: &[Arc<Rule>],
        databases: &BTreeMap<Arc<str>, Arc<Database>>,
        before: Option<&Self>,
    ) -> Self {
        let quota = |client: &Arc<Rule>| {
            let same = |(old, _): &(&Arc<Rule>, &Quota)| {
                old.name == client.name && old.pool_size == client.pool_size
            };
            let kept = before.and_then(|p| p.clients.iter().zip(&p.quotas).find(same));
            kept.map_or_else(|| Quota::new(client.pool_size), |(_, quota)| quota.clone())
        };
        let tokens = rules.iter().filter_map(|c| c.token.as_ref());
        let none = Issuers::default();
        Self {
            databases: databases.clone(),
            quotas: rules.iter().map(quota).collect(),
            clients: rules.to_vec(),
            issuers: Issuers::new(tokens, before.map_or(&none, |b| &b.issuers)),
            callers: Callers::new(
                rules.iter().any(|c| c.aws_iam.is_some()),
                before.map_or(&Callers::default(), |b| &b.callers),
            ),
        }
    }

    /// Whether the client has to be asked for a token, and how. It is, where
    /// a rule with a token would come before the one that decides without.
    ///
    /// Where no rule would let it in without a token, all rules count that fit
    /// the connection, whatever they grant: being asked must not tell an unknown
    /// database from a known one.
    pub fn asks_for_token(&self, request: &Request<'_>) -> Option<Ask<'_>> {
        let mut asking = None;
        for client in &self.clients {
            let mismatches = rule::mismatches(client, request);
            let ask = ask(client);
            if mismatches.is_empty() {
                return None;
            } else if mismatches.iter().all(|m| m.is_about_proof()) {
                return ask;
            } else if mismatches
                .iter()
                .all(|m| m.is_about_proof() || m.is_about_wishes())
            {
                asking = asking.or(ask);
            }
        }
        asking
    }

    /// What the issuers of the rules, or STS, say about what a client
    /// presented; it becomes part of the evidence.
    ///
    /// # Errors
    /// [`Rejected`] where nobody vouches for it.
    pub async fn examine(&self, token: &str, evidence: &mut Evidence) -> Result<(), Rejected> {
        if !token.starts_with("http") {
            let rules = self.clients.iter().filter_map(|c| c.token.as_ref());
            evidence.tokens = self.issuers.verify(token, rules).await?;
            return Ok(());
        }
        let mut rejected = Rejected::UnknownIssuer;
        let mut asked: Vec<&Sts> = Vec::new();
        for rule in self.clients.iter().filter_map(|c| c.aws_iam.as_ref()) {
            if asked.contains(&&rule.sts) {
                continue;
            }
            asked.push(&rule.sts);
            match self.callers.identify(token, &rule.sts).await {
                Ok(caller) => {
                    evidence.aws = Some(caller);
                    return Ok(());
                }
                Err(why) => rejected = why,
            }
        }
        Err(rejected)
    }

    /// Whether the system has to be asked whose this connection is: always by a
    /// unix socket, because the record says it; over loopback if a rule asks.
    pub fn asks_whose(&self, evidence: &Evidence) -> bool {
        match evidence.peer {
            Peer::Unix { .. } => true,
            Peer::Tcp(_) => {
                evidence.is_over_loopback()
                    && self.clients.iter().any(|c| c.loopback_user.is_some())
            }
        }
    }

    /// Weighs every rule, also for a database that there is not, so that the
    /// answer takes as long.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let rules: Vec<Weighed> = self
            .clients
            .iter()
            .map(|client| Weighed {
                client: client.clone(),
                mismatches: rule::mismatches(client, request),
            })
            .collect();
        let first = rules.iter().zip(&self.quotas).find(|(r, _)| r.matches());
        let grant = match (self.databases.get(request.database), first) {
            (None, _) => Err(Denial::UnknownDatabase),
            (Some(_), None) => Err(Denial::NoRule),
            (Some(database), Some((rule, quota))) => Ok(Grant {
                quota: quota.clone(),
                client: rule.client.clone(),
                database: database.clone(),
                secret: rule
                    .client
                    .secret
                    .clone()
                    .unwrap_or_else(|| database.secret.clone()),
                identity: Arc::new(request.evidence.identity()),
            }),
        };
        Decision { grant, rules }
    }
}

fn ask(client: &Rule) -> Option<Ask<'_>> {
    if let Some(token) = &client.token {
        return Some(Ask {
            method: token.method,
            issuer: Some(&token.issuer.issuer),
        });
    }
    client.aws_iam.as_ref().map(|_| Ask {
        method: TokenMethod::Password,
        issuer: None,
    })
}
