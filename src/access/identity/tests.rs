//! What fulfils a condition of each kind, and what is said where nothing does.

use std::sync::Arc;
use std::time::SystemTime;

use super::*;
use crate::access::aws_iam::{Caller, Sts};
use crate::access::token::Verified;
use crate::access::{Account, CertificateName, TokenIssuer, TokenKeys, UserRef};
use crate::base::Pattern;
use crate::net::Peer;

fn network(networks: &[&str]) -> Networks {
    Networks(networks.iter().map(|n| n.parse().unwrap()).collect())
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

#[track_caller]
fn holds(condition: &dyn Condition, evidence: &Evidence) {
    assert!(condition.matches(evidence), "{}", condition.describe());
}

#[track_caller]
fn fails(condition: &dyn Condition, evidence: &Evidence, because: &str) {
    assert!(!condition.matches(evidence), "{}", condition.describe());
    assert_eq!(condition.because(evidence), because);
}

#[test]
fn a_network_holds_for_its_addresses_only() {
    let networks = network(&["10.0.0.0/8", "fd00::/8"]);
    holds(&networks, &tcp("10.1.2.3:5"));
    holds(&networks, &tcp("[fd00::1]:5"));
    fails(
        &networks,
        &tcp("11.0.0.1:5"),
        "11.0.0.1 is not in 10.0.0.0/8, fd00::/8",
    );
    fails(
        &networks,
        &unix(0),
        "a client on a unix socket has no address",
    );
}

#[test]
fn a_unix_user_holds_on_a_unix_socket_only() {
    let root = UnixUser(UserRef::Name("root".into()));
    holds(&root, &unix(0));
    fails(&root, &unix(1), "the client is daemon (uid 1), not root");
    let not_unix = "the client does not connect by a unix socket";
    fails(&root, &tcp("127.0.0.1:5"), not_unix);
    let same_user = Evidence {
        account: Some(Account::of(0)),
        ..tcp("127.0.0.1:5")
    };
    fails(&root, &same_user, not_unix);
    let nobody = UnixUser(UserRef::Name("no such user".into()));
    fails(
        &nobody,
        &unix(0),
        "the client is root (uid 0), not no such user",
    );
}

#[test]
fn a_loopback_user_holds_on_loopback_only() {
    let root = LoopbackUser(UserRef::Uid(0));
    let with = |address: &str, uid| Evidence {
        account: Some(Account::of(uid)),
        ..tcp(address)
    };
    holds(&root, &with("127.0.0.1:5", 0));
    holds(&root, &with("[::1]:5", 0));
    fails(
        &root,
        &with("127.0.0.1:5", 1),
        "the client is daemon (uid 1), not uid 0",
    );
    fails(
        &root,
        &tcp("127.0.0.1:5"),
        "nothing says whether the client is uid 0",
    );
    let elsewhere = "the client does not connect by TCP over loopback";
    fails(&root, &with("10.0.0.1:5", 0), elsewhere);
    fails(&root, &unix(0), elsewhere);
}

fn issuer() -> Arc<TokenIssuer> {
    Arc::new(TokenIssuer {
        issuer: "https://i".to_owned(),
        keys: TokenKeys::File("keys.json".into()),
        ca: None,
    })
}

fn token_rule() -> TokenRule {
    TokenRule {
        issuer: issuer(),
        audience: "pgvalet".to_owned(),
        subject: Some(Pattern::new("api")),
        claims: vec![("team".to_owned(), Pattern::new("dba"))],
        method: TokenMethod::Password,
        end_at_expiry: false,
    }
}

fn with_token(subject: &str, team: &str) -> Evidence {
    let claims = serde_json::json!({ "team": team });
    Evidence {
        tokens: vec![Verified {
            by: issuer(),
            subject: subject.to_owned(),
            audience: vec!["pgvalet".to_owned()],
            id: None,
            expires: SystemTime::now(),
            claims: claims.as_object().cloned().unwrap_or_default(),
        }],
        ..tcp("10.0.0.1:5")
    }
}

#[test]
fn a_token_holds_if_it_says_what_is_wanted() {
    let rule = token_rule();
    holds(&rule, &with_token("api", "dba"));
    fails(&rule, &tcp("10.0.0.1:5"), "there is no valid token");
    let wanted = "wanted: api of https://i for pgvalet, with team = \"dba\"";
    for (subject, team) in [("web", "dba"), ("api", "dev")] {
        fails(
            &rule,
            &with_token(subject, team),
            &format!("the token is {subject} of https://i for pgvalet; {wanted}"),
        );
    }
    assert!(rule.ask(&tcp("10.0.0.1:5")).is_some());
    assert!(rule.ask(&with_token("web", "dba")).is_none());
}

#[test]
fn an_aws_caller_holds_as_sts_was_asked_for_the_rule() {
    let sts = |audience: &str| Sts {
        audience: audience.to_owned(),
        endpoint: None,
    };
    let rule = AwsIamRule {
        role: Pattern::new("arn:aws:iam::1:role/orders"),
        sts: sts("pgvalet"),
    };
    let caller = |role: &str, audience: &str| Evidence {
        aws: Some(Caller {
            arn: role.into(),
            role: role.into(),
            sts: sts(audience),
        }),
        ..tcp("10.0.0.1:5")
    };
    let role = "arn:aws:iam::1:role/orders";
    holds(&rule, &caller(role, "pgvalet"));
    fails(
        &rule,
        &tcp("10.0.0.1:5"),
        "the client has not shown who it is in AWS",
    );
    fails(
        &rule,
        &caller("arn:aws:iam::1:role/other", "pgvalet"),
        "the caller is arn:aws:iam::1:role/other, not arn:aws:iam::1:role/orders",
    );
    fails(
        &rule,
        &caller(role, "another"),
        "the client signed for another audience or endpoint than this rule's",
    );
    assert!(rule.ask(&tcp("10.0.0.1:5")).is_some());
}

/// A rule with a condition of every kind.
fn all_kinds() -> Identity {
    Identity {
        network: Some(network(&["127.0.0.0/8"])),
        unix_user: Some(UnixUser(UserRef::Uid(0))),
        loopback_user: Some(LoopbackUser(UserRef::Uid(0))),
        certificate: Some(CertificateNames(vec![
            CertificateName::parse("cn:a").unwrap(),
        ])),
        token: Some(token_rule()),
        aws_iam: Some(AwsIamRule {
            role: Pattern::new("*"),
            sts: Sts {
                audience: "pgvalet".to_owned(),
                endpoint: None,
            },
        }),
    }
}

#[test]
fn every_kind_is_walked() {
    let all = all_kinds();
    let kinds: Vec<IdentityKind> = all.conditions().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, IdentityKind::ALL);
    // Nothing of it holds for a client of whom nothing but a distant address is known.
    let somebody = tcp("192.0.2.1:5");
    for (kind, condition) in all.conditions() {
        assert!(!condition.matches(&somebody), "{kind:?}");
        assert!(!condition.because(&somebody).is_empty(), "{kind:?}");
        assert!(!condition.describe().is_empty(), "{kind:?}");
        assert!(condition.covers(&all), "{kind:?}");
        assert!(!condition.covers(&Identity::default()), "{kind:?}");
    }
    assert!(Identity::default().covers(&all) && all.covers(&all));
}

#[test]
fn a_client_is_named_by_the_strongest_identity_that_is_known() {
    let named = |evidence: &Evidence| {
        let identity = evidence.identity();
        format!("{} {}", identity.method, identity.subject)
    };
    assert_eq!(named(&tcp("10.0.0.1:5")), "network 10.0.0.1");
    assert_eq!(named(&unix(0)), "unix_user root");
    let loopback = Evidence {
        account: Some(Account::of(0)),
        ..tcp("127.0.0.1:5")
    };
    assert_eq!(named(&loopback), "loopback_user root");
    // Whoever has no account that means anything is known by its number.
    let nameless = Evidence {
        account: None,
        ..unix(65534)
    };
    assert_eq!(named(&nameless), "unix_user 65534");
    assert_eq!(named(&with_token("api", "dba")), "token api");
}
