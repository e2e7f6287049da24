//! Which conditions of a rule do not hold for a client.

use chrono::{DateTime, Utc};

use super::{Ask, Evidence, IdentityKind, Rule, is_console};

/// What is decided about: a connection, what its client asks for, and when.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub evidence: &'a Evidence,
    pub database: &'a str,
    pub user: &'a str,
    pub now: DateTime<Utc>,
}

/// A condition of a rule that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    Database,
    User,
    /// The rule is not in force now.
    NotNow,
    Identity(IdentityKind),
}

/// Every condition of the rule that does not hold; none means that the rule
/// matches. All conditions are looked at in any case, so that the time this takes
/// does not tell which one it was.
pub(super) fn mismatches(rule: &Rule, request: &Request<'_>) -> Vec<Mismatch> {
    let users = rule.users.as_ref();
    let own = [
        (rule.grants(request.database), Mismatch::Database),
        (
            users.is_none_or(|u| u.iter().any(|u| u == request.user)),
            Mismatch::User,
        ),
        (rule.holds(request.now), Mismatch::NotNow),
    ];
    let identity = rule.identity.conditions().map(|(kind, condition)| {
        (
            condition.matches(request.evidence),
            Mismatch::Identity(kind),
        )
    });
    own.into_iter()
        .chain(identity)
        .filter_map(|(holds, mismatch)| (!holds).then_some(mismatch))
        .collect()
}

impl Mismatch {
    /// Whether the mismatch lies in what the client asks for, not in who the client is.
    pub(super) fn is_about_request(self) -> bool {
        matches!(self, Self::Database | Self::User)
    }

    /// What the client can still be asked for, so that the condition holds.
    pub(super) fn ask<'a>(self, rule: &'a Rule, evidence: &Evidence) -> Option<Ask<'a>> {
        match self {
            Self::Identity(kind) => rule.identity.condition(kind)?.ask(evidence),
            Self::Database | Self::User | Self::NotNow => None,
        }
    }

    /// The key of the rule that does not hold.
    pub fn key(self) -> &'static str {
        match self {
            Self::Database => "databases",
            Self::User => "users",
            Self::NotNow => "valid",
            Self::Identity(kind) => kind.key(),
        }
    }

    /// Why the condition does not hold, in a few words for the operator: a client never reads them.
    /// `rule` and `request` are those that the mismatch came from.
    pub fn because(self, rule: &Rule, request: &Request<'_>) -> String {
        match self {
            Self::Database => {
                let console = rule.admin.map(|_| "the console");
                let granted: Vec<&str> = (rule.databases.iter().map(AsRef::as_ref))
                    .chain(console)
                    .collect();
                let granted = granted.join(", ");
                match is_console(request.database) {
                    true => format!("it grants {granted}, not the console"),
                    false => format!("it grants {granted}, not {:?}", request.database),
                }
            }
            Self::User => {
                let allowed = rule.users.as_deref().unwrap_or_default().join(", ");
                format!("it allows the user name {allowed}, not {:?}", request.user)
            }
            Self::NotNow => match &rule.valid {
                Some(period) => format!("it is in force {period}"),
                None => String::new(), // and so always in force
            },
            Self::Identity(kind) => match rule.identity.condition(kind) {
                Some(condition) => condition.because(request.evidence),
                None => String::new(), // and so always fulfilled
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Identity, Networks};
    use crate::net::Peer;

    fn rule() -> Rule {
        Rule {
            name: "app".into(),
            number: 1,
            identity: Identity {
                network: Some(Networks(vec!["10.0.0.0/8".parse().unwrap()])),
                ..Identity::default()
            },
            databases: vec!["orders".into()],
            users: Some(vec!["alice".into()]),
            ..Rule::default()
        }
    }

    #[test]
    fn what_it_asks_for_counts_as_well() {
        let evidence = |address: &str| Evidence::new(Peer::Tcp(address.parse().unwrap()));
        let rule = rule();
        let ask = |database, user, address| {
            let request = Request {
                evidence: &evidence(address),
                database,
                user,
                now: Utc::now(),
            };
            let mismatches = mismatches(&rule, &request);
            for m in &mismatches {
                assert!(!m.because(&rule, &request).is_empty(), "{m:?}");
            }
            mismatches
        };
        let inside = "10.0.0.1:5";
        let network = Mismatch::Identity(IdentityKind::Network);
        assert_eq!(ask("orders", "alice", inside), []);
        assert_eq!(ask("orders", "bob", inside), [Mismatch::User]);
        assert_eq!(
            ask("Orders", "bob", inside),
            [Mismatch::Database, Mismatch::User]
        );
        assert_eq!(
            ask("orders", "bob", "11.0.0.1:5"),
            [Mismatch::User, network]
        );
        assert_eq!(network.key(), "network");
    }
}
