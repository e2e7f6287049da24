//! Where a record has what people ask for.
//!
//! Records are read as JSON rather than as [`Record`](super::Record), so that
//! those of a newer pgvalet can be read too. A `store.call` has it in other places
//! than the other records: in those of a CloudTrail event.

use std::borrow::Cow;

use serde_json::Value;

const CALLER: &str = "/call/userIdentity/userName";
const CALL_SECRET: &str = "/call/requestParameters/secretId";
/// CreateSecret has a name and no id.
const CALL_NEW_SECRET: &str = "/call/requestParameters/name";
const CALL_ARN: &str = "/call/resources/0/ARN";
const CALL_VERSION: &str = "/call/additionalEventData/secretVersionId";

/// The text at a JSON pointer (RFC 6901); empty where there is none.
pub(super) fn text<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("")
}

/// The first text that is there.
fn first<'a>(record: &'a Value, pointers: &[&str]) -> &'a str {
    let mut texts = pointers.iter().map(|pointer| text(record, pointer));
    texts.find(|text| !text.is_empty()).unwrap_or("")
}

/// Whether the log tells of itself, and not of anybody who used it.
pub fn is_of_the_log(record: &Value) -> bool {
    text(record, "/event") == "checkpoint"
}

/// The client, or the principal that called the store.
pub(super) fn client(record: &Value) -> &str {
    first(record, &["/client", CALLER])
}

/// What a session is said to have done with each version.
fn uses(record: &Value) -> impl Iterator<Item = &Value> {
    record
        .get("uses")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Every version that the record is about.
pub(super) fn versions(record: &Value) -> impl Iterator<Item = &str> {
    let used = uses(record).map(|used| text(used, "/version"));
    std::iter::once(version(record))
        .chain(used)
        .filter(|v| !v.is_empty())
}

pub(super) fn version(record: &Value) -> &str {
    first(record, &["/credential/version", CALL_VERSION])
}

/// The secret as it was named, by its name or its ARN, behind the name of its store.
pub(super) fn secret(record: &Value) -> Cow<'_, str> {
    let named = first(
        record,
        &["/credential/secret", CALL_SECRET, CALL_NEW_SECRET],
    );
    in_store(text(record, "/store"), named)
}

/// A secret as the configuration names it; the default store has no name.
pub(super) fn in_store<'a>(store: &str, secret: &'a str) -> Cow<'a, str> {
    match store.is_empty() || secret.is_empty() {
        true => secret.into(),
        false => format!("{store}:{secret}").into(),
    }
}

/// Whether the record is about the secret, of which `wanted` is the name or the
/// ARN.
pub(super) fn is_about_secret(record: &Value, wanted: &str) -> bool {
    // A call of a store with a name has the secret as that store knows it.
    let store = text(record, "/store");
    let within = match store.is_empty() {
        true => Some(wanted),
        false => wanted.strip_prefix(store).and_then(|w| w.strip_prefix(':')),
    };
    let Some(wanted) = within else {
        return text(record, CALL_ARN) == wanted;
    };
    let names = [
        "/credential/secret",
        "/credential/arn",
        CALL_SECRET,
        CALL_NEW_SECRET,
        CALL_ARN,
    ];
    // Records of sessions have no ARN, and the name of the store in front.
    let store = wanted.split_once(":arn:").map_or("", |(store, _)| store);
    let name = name_in(wanted).map(|name| in_store(store, name));
    let is_named = |secret: &str| name.as_deref() == Some(secret);
    names.iter().any(|pointer| text(record, pointer) == wanted)
        || name_in(text(record, CALL_ARN)) == Some(wanted)
        || is_named(text(record, "/credential/secret"))
        || uses(record).any(|used| {
            let secret = text(used, "/secret");
            secret == wanted || is_named(secret)
        })
}

/// The name in a secret's ARN, in front of its six random characters.
pub(super) fn name_in(arn: &str) -> Option<&str> {
    let (_, name) = arn.split_once(":secret:")?;
    name.rsplit_once('-').map(|(name, _)| name)
}
