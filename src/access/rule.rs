//! Whether the conditions of a rule hold for a connection.

use chrono::{DateTime, Utc};

use super::Evidence;
use super::aws_iam;
use crate::access::token::satisfies;
use crate::access::{Rule, TokenRule};
use crate::net::Peer;

/// What is decided about: a connection, what its client asks for, and when.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub evidence: &'a Evidence,
    pub database: &'a str,
    pub user: &'a str,
    pub now: DateTime<Utc>,
}

/// A condition that does not hold, and how. For the operator: a client never
/// reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    Database,
    User,
    Network,
    /// A rule for networks, and a client that has no address.
    NoAddress,
    NoUnixSocket,
    UnixUser,
    NotOverLoopback,
    LoopbackUser,
    NoCertificate,
    Certificate,
    NotNow,
    /// It has not shown who it is in AWS.
    NoAwsCaller,
    AwsCaller,
    /// No token was presented that an issuer vouches for.
    NoToken,
    /// It says something else than the rule asks for.
    Token,
}

type Held = Result<(), Mismatch>;

/// Everything about the rule that does not hold; nothing means that it matches.
/// All conditions are looked at in any case, so that the time this takes does
/// not tell which one it was.
pub(super) fn mismatches(rule: &Rule, request: &Request<'_>) -> Vec<Mismatch> {
    let evidence = request.evidence;
    [
        databases(rule, request),
        users(rule, request),
        network(rule, evidence),
        unix_user(rule, evidence),
        loopback_user(rule, evidence),
        certificate(rule, evidence),
        unless(rule.holds(request.now), Mismatch::NotNow),
        token(rule, evidence),
        aws_iam(rule, evidence),
    ]
    .into_iter()
    .filter_map(Result::err)
    .collect()
}

fn unless(holds: bool, mismatch: Mismatch) -> Held {
    if holds { Ok(()) } else { Err(mismatch) }
}

fn databases(rule: &Rule, request: &Request<'_>) -> Held {
    let granted = rule.databases.iter().any(|d| &**d == request.database);
    unless(granted, Mismatch::Database)
}

fn users(rule: &Rule, request: &Request<'_>) -> Held {
    let Some(users) = &rule.users else {
        return Ok(());
    };
    unless(users.iter().any(|u| u == request.user), Mismatch::User)
}

fn network(rule: &Rule, evidence: &Evidence) -> Held {
    let Some(networks) = &rule.network else {
        return Ok(());
    };
    let ip = evidence.address().ok_or(Mismatch::NoAddress)?.ip();
    let inside = networks.iter().any(|n| n.contains(&ip));
    unless(inside, Mismatch::Network)
}

fn unix_user(rule: &Rule, evidence: &Evidence) -> Held {
    let Some(user) = &rule.unix_user else {
        return Ok(());
    };
    if !matches!(evidence.peer, Peer::Unix { .. }) {
        return Err(Mismatch::NoUnixSocket);
    }
    let account = evidence.account.as_ref();
    unless(account.is_some_and(|a| a.is(user)), Mismatch::UnixUser)
}

fn loopback_user(rule: &Rule, evidence: &Evidence) -> Held {
    let Some(user) = &rule.loopback_user else {
        return Ok(());
    };
    if !evidence.is_over_loopback() {
        return Err(Mismatch::NotOverLoopback);
    }
    let account = evidence.account.as_ref();
    unless(account.is_some_and(|a| a.is(user)), Mismatch::LoopbackUser)
}

fn certificate(rule: &Rule, evidence: &Evidence) -> Held {
    let Some(names) = &rule.certificate else {
        return Ok(());
    };
    let certificate = evidence.certificate.as_ref();
    let certificate = certificate.ok_or(Mismatch::NoCertificate)?;
    unless(
        names.iter().any(|name| certificate.is(name)),
        Mismatch::Certificate,
    )
}

fn token(rule: &Rule, evidence: &Evidence) -> Held {
    let Some(wanted) = &rule.token else {
        return Ok(());
    };
    if evidence.tokens.is_empty() {
        return Err(Mismatch::NoToken);
    }
    let one_does = evidence.tokens.iter().any(|t| satisfies(wanted, t));
    unless(one_does, Mismatch::Token)
}

fn aws_iam(rule: &Rule, evidence: &Evidence) -> Held {
    let Some(wanted) = &rule.aws_iam else {
        return Ok(());
    };
    let caller = evidence.aws.as_ref().ok_or(Mismatch::NoAwsCaller)?;
    unless(aws_iam::satisfies(wanted, caller), Mismatch::AwsCaller)
}

impl Mismatch {
    /// Whether it lies in what the client asks for, not in who it is.
    pub(super) fn is_about_wishes(self) -> bool {
        matches!(self, Self::Database | Self::User)
    }

    /// Whether the client might still prove it.
    pub(super) fn is_about_proof(self) -> bool {
        matches!(self, Self::NoToken | Self::NoAwsCaller)
    }

    /// The key of the rule that does not hold.
    pub fn condition(self) -> &'static str {
        match self {
            Self::Database => "databases",
            Self::User => "users",
            Self::Network | Self::NoAddress => "network",
            Self::NoUnixSocket | Self::UnixUser => "unix_user",
            Self::NotOverLoopback | Self::LoopbackUser => "loopback_user",
            Self::NoCertificate | Self::Certificate => "certificate",
            Self::NotNow => "valid",
            Self::NoToken | Self::Token => "token",
            Self::NoAwsCaller | Self::AwsCaller => "aws_iam",
        }
    }

    /// Why, in a few words: `rule` and `request` are those it came from.
    pub fn because(self, rule: &Rule, request: &Request<'_>) -> String {
        let evidence = request.evidence;
        match self {
            Self::Database => {
                let granted = rule.databases.join(", ");
                format!("it grants {granted}, not {:?}", request.database)
            }
            Self::User => {
                let allowed = rule.users.as_deref().unwrap_or_default().join(", ");
                format!("it allows the user name {allowed}, not {:?}", request.user)
            }
            Self::Network => {
                let networks = rule.network.iter().flatten().map(ToString::to_string);
                let networks: Vec<String> = networks.collect();
                let from = evidence
                    .address()
                    .map_or_else(String::new, |a| a.ip().to_string());
                format!("{from} is not in {}", networks.join(", "))
            }
            Self::NoAddress => "a client on a unix socket has no address".to_owned(),
            Self::NoUnixSocket => "the client does not come by a unix socket".to_owned(),
            Self::UnixUser => other_account(evidence, rule.unix_user.as_ref()),
            Self::NotOverLoopback => "the client does not come by TCP over loopback".to_owned(),
            Self::LoopbackUser => other_account(evidence, rule.loopback_user.as_ref()),
            Self::NoCertificate => "the client has shown no certificate".to_owned(),
            Self::Certificate => {
                let wanted = rule.certificate.iter().flatten().map(ToString::to_string);
                let wanted: Vec<String> = wanted.collect();
                let names = match &evidence.certificate {
                    Some(certificate) => certificate.names().join(", "),
                    None => String::new(),
                };
                format!("the certificate is {names}, not {}", wanted.join(", "))
            }
            Self::NotNow => {
                let period = rule
                    .valid
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string);
                format!("it is in force {period}")
            }
            Self::NoAwsCaller => "the client has not shown who it is in AWS".to_owned(),
            Self::AwsCaller => {
                let caller = evidence.aws.as_ref().map_or("nobody", |c| &c.role);
                let wanted = rule.aws_iam.as_ref().map_or("", |r| r.role.as_str());
                format!("the caller is {caller}, not {wanted}")
            }
            Self::NoToken => "there is no valid token".to_owned(),
            Self::Token => other_token(evidence, rule.token.as_ref()),
        }
    }
}

fn other_account(evidence: &Evidence, wanted: Option<&crate::access::UserRef>) -> String {
    let wanted = wanted.map_or_else(String::new, ToString::to_string);
    match &evidence.account {
        Some(account) => format!("the client is {account}, not {wanted}"),
        None => format!("nothing says whether the client is {wanted}"),
    }
}

fn other_token(evidence: &Evidence, wanted: Option<&TokenRule>) -> String {
    let Some(wanted) = wanted else {
        return "it asks for no token".to_owned(); // and so never mismatches
    };
    let found: Vec<String> = evidence
        .tokens
        .iter()
        .map(|t| {
            let audience = t.audience.join(", ");
            format!("{} of {} for {audience}", t.subject, t.by.issuer)
        })
        .collect();
    format!(
        "the token is {}; wanted: {} of {} for {}",
        found.join("; "),
        wanted.subject.as_ref().map_or("anybody", |s| s.as_str()),
        wanted.issuer.issuer,
        wanted.audience
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Account;
    use crate::access::UserRef;

    fn rule(network: &[&str], user: Option<UserRef>) -> Rule {
        Rule {
            name: "app".into(),
            rule: 1,
            network: (!network.is_empty())
                .then(|| network.iter().map(|n| n.parse().unwrap()).collect()),
            unix_user: user,
            databases: vec!["orders".into()],
            ..Rule::default()
        }
    }

    fn tcp(address: &str) -> Evidence {
        Evidence::new(Peer::Tcp(address.parse().unwrap()))
    }

    fn unix(uid: u32) -> Evidence {
        let (gid, pid) = (0, None);
        Evidence {
            account: Some(Account::of(uid)),
            ..Evidence::new(Peer::Unix { uid, gid, pid })
        }
    }

    fn held(rule: &Rule, evidence: &Evidence) -> Vec<Mismatch> {
        let request = Request {
            evidence,
            database: "orders",
            user: "any",
            now: Utc::now(),
        };
        let mismatches = mismatches(rule, &request);
        for m in &mismatches {
            assert!(!m.because(rule, &request).is_empty());
        }
        mismatches
    }

    #[test]
    fn a_network_holds_for_its_addresses_only() {
        let rule = rule(&["10.0.0.0/8", "fd00::/8"], None);
        assert_eq!(held(&rule, &tcp("10.1.2.3:5")), []);
        assert_eq!(held(&rule, &tcp("[fd00::1]:5")), []);
        assert_eq!(held(&rule, &tcp("11.0.0.1:5")), [Mismatch::Network]);
        assert_eq!(held(&rule, &unix(0)), [Mismatch::NoAddress]);
    }

    #[test]
    fn a_user_holds_on_a_unix_socket_only() {
        let root = rule(&[], Some(UserRef::Name("root".into())));
        assert_eq!(held(&root, &unix(0)), []);
        assert_eq!(held(&root, &unix(1)), [Mismatch::UnixUser]);
        assert_eq!(held(&root, &tcp("127.0.0.1:5")), [Mismatch::NoUnixSocket]);
        let nobody = rule(&[], Some(UserRef::Name("no such user".into())));
        assert_eq!(held(&nobody, &unix(0)), [Mismatch::UnixUser]);
    }

    #[test]
    fn a_loopback_user_holds_on_loopback_only() {
        let root = Rule {
            loopback_user: Some(UserRef::Uid(0)),
            ..rule(&[], None)
        };
        let with = |address: &str, uid| Evidence {
            account: Some(Account::of(uid)),
            ..tcp(address)
        };
        assert_eq!(held(&root, &with("127.0.0.1:5", 0)), []);
        assert_eq!(held(&root, &with("[::1]:5", 0)), []);
        assert_eq!(
            held(&root, &with("127.0.0.1:5", 1)),
            [Mismatch::LoopbackUser]
        );
        assert_eq!(held(&root, &tcp("127.0.0.1:5")), [Mismatch::LoopbackUser]);
        assert_eq!(
            held(&root, &with("10.0.0.1:5", 0)),
            [Mismatch::NotOverLoopback]
        );
        assert_eq!(held(&root, &unix(0)), [Mismatch::NotOverLoopback]);
    }

    #[test]
    fn all_conditions_must_hold() {
        let both = rule(&["127.0.0.0/8"], Some(UserRef::Uid(0)));
        assert_eq!(held(&both, &unix(0)), [Mismatch::NoAddress]);
        assert_eq!(held(&both, &tcp("127.0.0.1:5")), [Mismatch::NoUnixSocket]);
        assert_eq!(
            held(&both, &tcp("10.0.0.1:5")),
            [Mismatch::Network, Mismatch::NoUnixSocket]
        );
    }

    #[test]
    fn what_it_asks_for_counts_as_well() {
        let evidence = tcp("10.0.0.1:5");
        let alice = Rule {
            users: Some(vec!["alice".into()]),
            ..rule(&["10.0.0.0/8"], None)
        };
        let ask = |database, user| {
            let now = Utc::now();
            mismatches(
                &alice,
                &Request {
                    evidence: &evidence,
                    database,
                    user,
                    now,
                },
            )
        };
        assert_eq!(ask("orders", "alice"), []);
        assert_eq!(ask("orders", "bob"), [Mismatch::User]);
        assert_eq!(ask("Orders", "bob"), [Mismatch::Database, Mismatch::User]);
    }
}
