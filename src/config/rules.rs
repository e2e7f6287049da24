//! The `[[client]]` rules.

use std::sync::Arc;

use toml::de::DeValue;

use super::error::nearest;
use super::file::{Section, integer};
use super::token::token;
use super::values::{network, nonempty, secret};
use super::{Client, UserRef};

/// The keys that say how a client is recognised.
const CONDITIONS: &[&str] = &["network", "unix_user", "loopback_user", "token"];

/// Reads one rule; `known` are the databases there are.
pub(super) fn client(rule: usize, mut s: Section<'_, '_>, known: &[Arc<str>]) -> Client {
    if !s.has("name") {
        s.wrong("there is no name; add name = \"…\", what audit and metrics call this client");
    }
    let name = s.text("name", nonempty).unwrap_or_default();
    if !CONDITIONS.iter().any(|key| s.has(key)) {
        s.wrong(format!(
            "nothing says how to recognise this client; add one of {}",
            CONDITIONS.join(", ")
        ));
    }
    if !s.has("databases") {
        s.wrong("there are no databases; add databases = [\"…\"]");
    }
    let databases = s.list("databases", |text| {
        known
            .iter()
            .find(|name| name.as_ref() == text)
            .cloned()
            .ok_or_else(|| unknown_database(text, known))
    });
    let client = Client {
        name: name.into(),
        rule,
        network: s.list("network", network),
        unix_user: s.value("unix_user", user),
        loopback_user: s.value("loopback_user", loopback_user),
        token: token(&mut s),
        databases: databases.unwrap_or_default(),
        users: s.list("users", nonempty),
        secret: s.text("secret", secret),
    };
    s.finish();
    client
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
            "this system does not tell whose a loopback connection is (Linux does); use unix_user"
                .to_owned(),
        );
    }
    user(value)
}

fn user(value: &DeValue<'_>) -> Result<UserRef, String> {
    match value {
        DeValue::String(name) if name.chars().all(|c| c.is_ascii_digit()) && !name.is_empty() => {
            Err(format!("write a numeric user id without quotes: {name}"))
        }
        DeValue::String(name) => nonempty(name).map(UserRef::Name),
        DeValue::Integer(_) => u32::try_from(integer(value)?)
            .map(UserRef::Uid)
            .map_err(|_| "a user id has at most 32 bits".to_owned()),
        _ => Err("write a user's name in quotes, or a user id without".to_owned()),
    }
}
