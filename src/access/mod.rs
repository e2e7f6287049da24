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
//! * `token`    tokens, and the issuers that vouch for them
//! * `decision` what all rules together say, and why
//!
//! Only gathering asks the system. Everything after it is a pure function of
//! the evidence, the words of the client and the time, so that a session, a
//! reload, `pgvalet explain` and the tests all see the same decision. Evidence
//! that has to be asked of the client (a password message) is gathered in the
//! handshake as well, before [`Policy::decide`].

mod certificate;
mod decision;
mod evidence;
mod loopback;
mod rule;
pub mod token;

pub use certificate::Certificate;
pub use decision::{Decision, Denial, Grant, Weighed};
pub use evidence::{Account, Evidence};
pub use rule::{Mismatch, Request};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Client, Config, Database, TokenRule};
use crate::net::Peer;
use token::{Issuers, Rejected, Verified};

/// The rules in force.
pub struct Policy {
    databases: BTreeMap<Arc<str>, Arc<Database>>,
    clients: Vec<Arc<Client>>,
    issuers: Issuers,
}

impl Policy {
    /// `before`: the one it takes the place of, whose issuers' keys are kept.
    pub fn new(config: &Config, before: Option<&Self>) -> Self {
        let rules = config.clients.iter().filter_map(|c| c.token.as_ref());
        let none = Issuers::default();
        Self {
            databases: config.databases.clone(),
            clients: config.clients.clone(),
            issuers: Issuers::new(rules, before.map_or(&none, |b| &b.issuers)),
        }
    }

    /// Whether the client has to be asked for a token, and how. It is, where
    /// a rule with a token would come before the one that decides without.
    ///
    /// Where no rule would let it in without a token, all rules count that fit
    /// the connection, whatever they grant: being asked must not tell an unknown
    /// database from a known one.
    pub fn asks_for_token(&self, request: &Request<'_>) -> Option<&TokenRule> {
        let weighed = self.clients.iter().map(|c| {
            let mismatches = rule::mismatches(c, request);
            (c.token.as_ref(), mismatches)
        });
        let mut asking = None;
        for (token, mismatches) in weighed {
            match token {
                None if mismatches.is_empty() => return None,
                Some(token) if mismatches == [Mismatch::NoToken] => return Some(token),
                Some(token) if mismatches.iter().all(|m| m.is_about_wishes()) => {
                    asking = asking.or(Some(token));
                }
                _ => {}
            }
        }
        asking
    }

    /// What the issuers of the rules say about a token.
    ///
    /// # Errors
    /// [`Rejected`] where none of them vouches for it.
    pub async fn examine(&self, token: &str) -> Result<Vec<Verified>, Rejected> {
        let rules = self.clients.iter().filter_map(|c| c.token.as_ref());
        self.issuers.verify(token, rules).await
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
        let first = rules.iter().find(|r| r.matches());
        let grant = match (self.databases.get(request.database), first) {
            (None, _) => Err(Denial::UnknownDatabase),
            (Some(_), None) => Err(Denial::NoRule),
            (Some(database), Some(rule)) => Ok(Grant {
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
