//! The `[[client]]` rules.

use std::sync::Arc;

use ipnet::IpNet;
use toml::de::DeValue;

use super::Listen;
use super::aws_iam::aws_iam;
use super::listen::is_open;
use super::section::{Section, mismatch};
use super::token::token;
use super::validity::validity;
use super::values::{network, user};
use crate::access::{
    AdminRight, CertificateName, CertificateNames, Identity, IdentityKind, LoopbackUser, Networks,
    Rule, UnixUser, UserRef,
};
use crate::base::{Pattern, nearest, nonempty};

/// Reads one rule; `rule` is its number, `known` are the databases there are.
pub(super) fn client(
    number: usize,
    mut s: Section<'_, '_>,
    known: &[Arc<str>],
    listen: &Listen,
) -> Rule {
    if !s.has("name") {
        s.wrong("there is no name; add name = \"…\", what audit and metrics call this client");
    }
    let name = s.text("name", nonempty).unwrap_or_default();
    let keys = IdentityKind::ALL.map(IdentityKind::key);
    let given: Vec<&str> = keys.into_iter().filter(|key| s.has(key)).collect();
    if given.is_empty() {
        s.wrong(format!(
            "nothing says how to recognise this client; add one of {}",
            keys.join(", ")
        ));
    }
    let has_databases = s.has("databases");
    if s.has("certificate") && listen.client_ca.is_none() {
        s.wrong("certificate needs the CA that clients' certificates are from; add client_ca = \"FILE\" to [listen]");
    }
    let only_network = given == [IdentityKind::Network.key()];
    let databases = s.list("databases", |text| {
        Ok((Arc::from(text), matching(text, known)?))
    });
    let (patterns, databases) = databases.unwrap_or_default().into_iter().unzip();
    let client = Rule {
        name: name.into(),
        number,
        identity: identity(&mut s),
        patterns,
        databases: flatten(databases),
        admin: s.value("admin", admin).flatten(),
        users: s.list("users", nonempty),
        secret: s.secret("secret"),
        pool_size: s.number("pool_size"),
        max_clients: s.number("max_clients"),
        valid: s.value("valid", validity),
    };
    if !has_databases && client.admin.is_none() {
        s.wrong("there are no databases; add databases = [\"…\"]");
    }
    let networks = client.identity.network.as_ref();
    let everybody = networks.is_some_and(|n| is_everybody(&n.0));
    if only_network && everybody && is_open(&listen.addresses) && !listen.allow_untrusted_networks {
        s.wrong(
            "this rule lets in everybody who can reach the listener; name the networks you know, ask for a certificate, or write allow_untrusted_networks = true in [listen]",
        );
    }
    s.finish();
    client
}

/// What the clients of a rule may do in the console.
fn admin(value: &DeValue<'_>) -> Result<Option<AdminRight>, String> {
    match value {
        DeValue::Boolean(true) => Ok(Some(AdminRight::Change)),
        DeValue::Boolean(false) => Ok(None),
        DeValue::String(text) if text == "read" => Ok(Some(AdminRight::Read)),
        DeValue::String(text) => Err(format!("{text:?} is not possible; write true or \"read\"")),
        other => Err(mismatch("true or \"read\"", other)),
    }
}

/// Who the clients of a rule are: a key for each [`IdentityKind`].
fn identity(s: &mut Section<'_, '_>) -> Identity {
    let certificate = s.list("certificate", CertificateName::parse);
    Identity {
        network: s.list("network", network).map(Networks),
        unix_user: s.value("unix_user", user).map(UnixUser),
        loopback_user: s.value("loopback_user", loopback_user).map(LoopbackUser),
        certificate: certificate.map(CertificateNames),
        token: token(s),
        aws_iam: aws_iam(s),
    }
}

/// Whether the networks together are all addresses of IPv4 or of IPv6.
pub(super) fn is_everybody(networks: &[IpNet]) -> bool {
    IpNet::aggregate(&networks.to_vec())
        .iter()
        .any(|net| net.prefix_len() == 0)
}

/// The databases that a name or a pattern stands for.
fn matching(text: &str, known: &[Arc<str>]) -> Result<Vec<Arc<str>>, String> {
    let pattern = Pattern::new(text);
    let matching: Vec<Arc<str>> = known
        .iter()
        .filter(|name| pattern.matches(name))
        .cloned()
        .collect();
    match matching.is_empty() {
        false => Ok(matching),
        true if text.contains('*') => Err(format!("{text:?} matches no database")),
        true => Err(unknown_database(text, known)),
    }
}

/// The databases in the order in which they were granted, each of them once.
fn flatten(groups: Vec<Vec<Arc<str>>>) -> Vec<Arc<str>> {
    let mut databases: Vec<Arc<str>> = Vec::new();
    for database in groups.into_iter().flatten() {
        if !databases.contains(&database) {
            databases.push(database);
        }
    }
    databases
}

fn unknown_database(text: &str, known: &[Arc<str>]) -> String {
    match nearest(text, known.iter().map(AsRef::as_ref)) {
        Some(name) => format!("there is no [database.{text}]; did you mean {name:?}?"),
        None if known.is_empty() => format!("there is no [database.{text}]; add it"),
        None => format!(
            "there is no [database.{text}]; there are {}",
            known.join(", ")
        ),
    }
}

fn loopback_user(value: &DeValue<'_>) -> Result<UserRef, String> {
    if cfg!(not(target_os = "linux")) {
        return Err(
            "this system cannot tell whose a loopback connection is (Linux can); use unix_user"
                .to_owned(),
        );
    }
    user(value)
}
