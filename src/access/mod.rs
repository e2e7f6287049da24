//! Who is a client, and what may it use?
//!
//! A client is known by how it connects, never by what it says. The first
//! `[[client]]` rule that matches and grants the database decides; nobody else
//! gets in.

pub mod token;

use std::collections::BTreeMap;
use std::sync::Arc;

use nix::unistd::{Uid, User};

use crate::audit::IdentityRef;
use crate::config::{Client, Config, Database, UnixUser};
use crate::net::Peer;
use crate::secret::SecretId;

/// What the rules decided.
#[derive(Clone)]
pub struct Grant {
    pub client: Arc<Client>,
    pub database: Arc<Database>,
    pub secret: SecretId,
    pub identity: Arc<IdentityRef>,
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

    /// Whether deciding may have to ask the system for a user's name, which
    /// can block.
    pub fn looks_up_users(&self) -> bool {
        self.clients
            .iter()
            .any(|c| matches!(c.unix_user, Some(UnixUser::Name(_))))
    }

    /// # Errors
    /// [`Denial`]
    pub fn decide(&self, peer: &Peer, database: &str, user: &str) -> Result<Grant, Denial> {
        // All rules are gone through for an unknown database as well, so that
        // the answer takes as long.
        let rule = self.clients.iter().find(|rule| {
            rule.databases.iter().any(|d| &**d == database)
                && rule
                    .users
                    .as_ref()
                    .is_none_or(|users| users.iter().any(|u| u == user))
                && matches(rule, peer)
        });
        let Some(known) = self.databases.get(database) else {
            return Err(Denial::UnknownDatabase);
        };
        let rule = rule.ok_or(Denial::NoRule)?;
        Ok(Grant {
            client: rule.clone(),
            database: known.clone(),
            secret: rule.secret.clone().unwrap_or_else(|| known.secret.clone()),
            identity: Arc::new(identity(peer)),
        })
    }
}

/// Every condition that a rule names must hold, and it names at least one.
fn matches(rule: &Client, peer: &Peer) -> bool {
    let network = rule.network.as_ref().map(|networks| match peer {
        Peer::Tcp(address) => networks.iter().any(|n| n.contains(&address.ip())),
        Peer::Unix { .. } => false,
    });
    let user = rule.unix_user.as_ref().map(|user| match peer {
        Peer::Unix { uid, .. } => is_user(user, *uid),
        Peer::Tcp(_) => false,
    });
    let conditions = [network, user];
    conditions.iter().any(Option::is_some) && conditions.iter().flatten().all(|holds| *holds)
}

fn is_user(user: &UnixUser, uid: u32) -> bool {
    match user {
        UnixUser::Uid(wanted) => *wanted == uid,
        UnixUser::Name(name) => User::from_name(name)
            .ok()
            .flatten()
            .is_some_and(|u| u.uid == Uid::from_raw(uid)),
    }
}

/// The peer as the audit log names it.
pub fn identity(peer: &Peer) -> IdentityRef {
    match peer {
        Peer::Tcp(address) => IdentityRef {
            method: "network".into(),
            subject: address.ip().to_string().into(),
            uid: None,
            gid: None,
            pid: None,
        },
        Peer::Unix { uid, gid, pid } => IdentityRef {
            method: "unix_user".into(),
            subject: User::from_uid(Uid::from_raw(*uid))
                .ok()
                .flatten()
                .map_or_else(|| uid.to_string(), |u| u.name)
                .into(),
            uid: Some(*uid),
            gid: Some(*gid),
            pid: *pid,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(network: &[&str], user: Option<UnixUser>) -> Client {
        Client {
            name: "app".into(),
            rule: 1,
            network: (!network.is_empty())
                .then(|| network.iter().map(|n| n.parse().unwrap()).collect()),
            unix_user: user,
            token: None,
            databases: vec!["orders".into()],
            users: None,
            secret: None,
        }
    }

    fn tcp(address: &str) -> Peer {
        Peer::Tcp(address.parse().unwrap())
    }

    fn unix(uid: u32) -> Peer {
        Peer::Unix {
            uid,
            gid: 0,
            pid: None,
        }
    }

    #[test]
    fn a_network_holds_for_its_addresses_only() {
        let rule = rule(&["10.0.0.0/8", "fd00::/8"], None);
        assert!(matches(&rule, &tcp("10.1.2.3:5")));
        assert!(matches(&rule, &tcp("[fd00::1]:5")));
        assert!(!matches(&rule, &tcp("11.0.0.1:5")));
        assert!(!matches(&rule, &unix(0)));
    }

    #[test]
    fn a_user_holds_on_a_unix_socket_only() {
        let root = rule(&[], Some(UnixUser::Name("root".into())));
        assert!(matches(&root, &unix(0)));
        assert!(!matches(&root, &unix(1)));
        assert!(!matches(&root, &tcp("127.0.0.1:5")));
        let nobody = rule(&[], Some(UnixUser::Name("no such user".into())));
        assert!(!matches(&nobody, &unix(0)));
    }

    #[test]
    fn all_conditions_must_hold_and_none_is_not_all() {
        let both = rule(&["127.0.0.0/8"], Some(UnixUser::Uid(0)));
        assert!(!matches(&both, &unix(0)));
        assert!(!matches(&both, &tcp("127.0.0.1:5")));
        assert!(!matches(&rule(&[], None), &unix(0)));
    }
}
