//! Which rule decides about a client, and why the others do not: for `pgvalet explain` and the
//! status page.

use std::net::{IpAddr, SocketAddr};

use chrono::Utc;
use nix::unistd::User;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Operations;
use crate::access::{Account, AdminRight, Decision, Evidence, Granted, Request, Weighed};
use crate::net::Peer;

/// Why a question cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error("this machine knows no user {0:?}")]
    NoUser(String),
    #[error("write an address, such as 10.0.0.7 or 10.0.0.7:5000")]
    NoAddress,
    #[error("where does the client come from? Give its address, or its unix user")]
    NoPlace,
}

/// A client that the page asks about.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    database: String,
    #[serde(default = "anyone")]
    user: String,
    /// With or without a port.
    from: Option<String>,
    unix_user: Option<String>,
}

fn anyone() -> String {
    "anyone".to_owned()
}

/// Decides by the rules in force.
///
/// # Errors
/// [`ExplainError`]
pub(super) fn explain(proxy: &dyn Operations, question: &Question) -> Result<Value, ExplainError> {
    let evidence = match (&question.unix_user, &question.from) {
        (Some(user), None) => by_unix_socket(account(user)?),
        (None, Some(from)) => by_tcp(address(from)?),
        _ => return Err(ExplainError::NoPlace),
    };
    let request = Request {
        evidence: &evidence,
        database: &question.database,
        user: &question.user,
        now: Utc::now(),
    };
    let routes = proxy.context().routes.load();
    let decision = routes.policy.decide(&request);
    Ok(as_json(&decision, &request, None))
}

/// An address as it stands in a log, with or without its port.
///
/// # Errors
/// [`ExplainError::NoAddress`]
pub fn address(text: &str) -> Result<IpAddr, ExplainError> {
    let text = text.trim();
    let with_port = || text.parse().map(|a: SocketAddr| a.ip());
    let address = text.parse().or_else(|_| with_port());
    address.map_err(|_| ExplainError::NoAddress)
}

/// A client over TCP.
pub fn by_tcp(from: IpAddr) -> Evidence {
    Evidence::new(Peer::Tcp(SocketAddr::new(from.to_canonical(), 0)))
}

/// A client over a unix socket.
pub fn by_unix_socket(account: Account) -> Evidence {
    let peer = Peer::Unix {
        uid: account.uid,
        gid: account.gid.unwrap_or(account.uid),
        pid: None,
    };
    Evidence {
        account: Some(account),
        ..Evidence::new(peer)
    }
}

/// A user by name or id.
///
/// # Errors
/// [`ExplainError::NoUser`]
pub fn account(user: &str) -> Result<Account, ExplainError> {
    if let Ok(uid) = user.parse() {
        return Ok(Account::of(uid));
    }
    match User::from_name(user).ok().flatten() {
        Some(found) => Ok(Account {
            gid: Some(found.gid.as_raw()),
            ..Account::of(found.uid.as_raw())
        }),
        None => Err(ExplainError::NoUser(user.to_owned())),
    }
}

/// What becomes of a rule, in a word or two.
pub fn verdict(decision: &Decision, rule: &Weighed) -> &'static str {
    let number = rule.rule.number;
    match &decision.grant {
        Ok(granted) if granted.client().number == number => "decides",
        _ if rule.matches() => "comes later",
        _ => "no match",
    }
}

pub fn as_json(decision: &Decision, request: &Request<'_>, note: Option<&str>) -> Value {
    let mut value = match &decision.grant {
        Ok(Granted::Database(grant)) => json!({
            "decision": "granted",
            "client": &*grant.client.name,
            "rule": grant.client.number,
            "database": &**grant.database.name(),
            "secret": grant.secret.as_str(),
        }),
        Ok(Granted::Console(grant)) => json!({
            "decision": "granted",
            "client": &*grant.client.name,
            "rule": grant.client.number,
            "database": request.database,
            "admin": match grant.right {
                AdminRight::Read => "read",
                AdminRight::Change => "change",
            },
        }),
        Err(denial) => json!({
            "decision": "denied",
            "reason": denial.code(),
            "words": denial.words(),
            "meant": decision.meant(request),
        }),
    };
    let rules = decision.rules.iter().map(|r| rule(decision, r, request));
    value["note"] = note.into();
    value["rules"] = rules.collect();
    value
}

fn rule(decision: &Decision, weighed: &Weighed, request: &Request<'_>) -> Value {
    let mismatches = weighed.mismatches.iter().map(|m| {
        let because = m.because(&weighed.rule, request);
        json!({ "condition": m.key(), "because": because })
    });
    json!({
        "rule": weighed.rule.number,
        "client": &*weighed.rule.name,
        "verdict": verdict(decision, weighed),
        "mismatches": mismatches.collect::<Value>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_a_port() {
        for (text, ip) in [
            ("10.0.0.7", "10.0.0.7"),
            (" 10.0.0.7:5000 ", "10.0.0.7"),
            ("::1", "::1"),
            ("[::1]:5000", "::1"),
        ] {
            let found = address(text).expect("an address");
            assert_eq!(found.to_string(), ip);
        }
        for text in ["", "10.0.0", "db.example.org", "<img>"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
