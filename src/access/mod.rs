//! Who is a client, and what may it use?
//!
//! A client is known by how it connects, never by what it says. The first
//! `[[client]]` rule that matches and grants the database decides; nobody else
//! gets in.
//!
//! * `evidence` what is known of a connection, gathered once, before any rule is asked
//! * `loopback` whose a TCP connection over loopback is
//! * `rule`     whether a rule's conditions hold, and which do not
//! * `decision` what all rules together say, and why
//!
//! Only gathering asks the system. Everything after it is a pure function of
//! the evidence, the words of the client and the time, so that a session, a
//! reload, `pgvalet explain` and the tests all see the same decision. Evidence
//! that has to be asked of the client (a password message) is gathered in the
//! handshake as well, before [`Policy::decide`].

mod decision;
mod evidence;
mod loopback;
mod rule;

pub use decision::{Decision, Denial, Grant, Weighed};
pub use evidence::{Account, Evidence};
pub use rule::{Mismatch, Request};

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Client, Config, Database};
use crate::net::Peer;

/// The rules in force.
pub struct Policy {
    databases: BTreeMap<Arc<str>, Arc<Database>>,
    clients: Vec<Arc<Client>>,
}

impl Policy {
    pub fn new(config: &Config) -> Self {
        Self {
            databases: config.databases.clone(),
            clients: config.clients.clone(),
        }
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
