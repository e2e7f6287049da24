//! The request to STS that a client has signed, checked before it is sent.
//!
//! It is a whole web address, and its author may be hostile. It is refused unless it
//! is exactly what a signed GetCallerIdentity needs, so that nobody can make pgvalet
//! ask anybody but STS, or ask STS anything else.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use hyper::Uri;
use percent_encoding::percent_decode_str;

use super::AUDIENCE_HEADER;
use super::endpoint::is_endpoint;
use crate::access::Sts;
use crate::access::token::Rejected;

/// The longest validity of a request, in seconds.
const LONGEST_VALIDITY: i64 = 15 * 60;
/// How far the clocks of client and proxy may be apart.
const LEEWAY: TimeDelta = TimeDelta::minutes(5);

/// The parameters that the query has to have, each once.
const REQUIRED: [&str; 8] = [
    "Action",
    "Version",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
];
/// The parameter that the query may have once: temporary credentials have it.
const OPTIONAL: &str = "X-Amz-Security-Token";

/// A request that pgvalet may send.
#[derive(Debug)]
pub struct Presigned {
    pub uri: Uri,
    pub expires: DateTime<Utc>,
}

impl Presigned {
    /// Reads what the client presents as its request.
    ///
    /// # Errors
    /// [`Rejected::Malformed`], [`Rejected::Foreign`], [`Rejected::Expired`],
    /// [`Rejected::NotYetValid`].
    pub fn read(text: &str, sts: &Sts, now: DateTime<Utc>) -> Result<Self, Rejected> {
        let uri: Uri = text.parse().map_err(|_| Rejected::Malformed)?;
        if !is_endpoint(&uri, sts) {
            return Err(Rejected::Foreign);
        }
        let query = parameters(uri.query().unwrap_or_default()).ok_or(Rejected::Malformed)?;
        let get = |name: &str| query.get(name).map(String::as_str);
        let asks_who = get("Action") == Some("GetCallerIdentity")
            && get("Version") == Some("2011-06-15")
            && get("X-Amz-Algorithm") == Some("AWS4-HMAC-SHA256");
        if !asks_who {
            return Err(Rejected::Foreign);
        }
        // The signature has to cover the audience: otherwise a request signed for
        // another service would be accepted here.
        let signed = get("X-Amz-SignedHeaders").unwrap_or_default();
        let covers = |header: &str| signed.split(';').any(|h| h == header);
        if !covers("host") || !covers(AUDIENCE_HEADER) || signed.split(';').count() != 2 {
            return Err(Rejected::Foreign);
        }
        let validity = get("X-Amz-Expires")
            .and_then(|text| text.parse().ok())
            .filter(|seconds| (1..=LONGEST_VALIDITY).contains(seconds))
            .ok_or(Rejected::Malformed)?;
        let date =
            NaiveDateTime::parse_from_str(get("X-Amz-Date").unwrap_or_default(), "%Y%m%dT%H%M%SZ");
        let date = date.map_err(|_| Rejected::Malformed)?.and_utc();
        if date > now + LEEWAY {
            return Err(Rejected::NotYetValid);
        }
        let expires = date + TimeDelta::seconds(validity);
        if expires < now {
            return Err(Rejected::Expired);
        }
        Ok(Self { uri, expires })
    }
}

/// The parameters of the query, decoded; `None` if one is unknown, missing, or there
/// twice.
fn parameters(query: &str) -> Option<BTreeMap<&str, String>> {
    let mut found = BTreeMap::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=')?;
        if name != OPTIONAL && !REQUIRED.contains(&name) {
            return None;
        }
        let value = percent_decode_str(value).decode_utf8().ok()?;
        if found.insert(name, value.into_owned()).is_some() {
            return None;
        }
    }
    let complete = REQUIRED.iter().all(|name| found.contains_key(name));
    complete.then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sts() -> Sts {
        Sts {
            audience: "pgvalet".to_owned(),
            endpoint: None,
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn query() -> String {
        "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKID%2F20260301%2Fus-east-1%2Fsts%2Faws4_request\
         &X-Amz-Date=20260301T115900Z&X-Amz-Expires=300\
         &X-Amz-SignedHeaders=host%3Bx-pgvalet-audience&X-Amz-Signature=00"
            .to_owned()
    }

    fn read(address: &str) -> Result<Uri, Rejected> {
        Presigned::read(address, &sts(), now()).map(|p| p.uri)
    }

    #[test]
    fn only_an_endpoint_of_sts_is_asked() {
        let query = query();
        assert!(read(&format!("https://sts.amazonaws.com/?{query}")).is_ok());
        for address in ["https://attacker.example/", "http://sts.amazonaws.com/"] {
            let refused = read(&format!("{address}?{query}"));
            assert_eq!(refused, Err(Rejected::Foreign), "{address}");
        }
    }

    #[test]
    fn nothing_else_is_asked() {
        for (from, to) in [
            ("GetCallerIdentity", "GetSessionToken"),
            (
                "Action=GetCallerIdentity",
                "Action=GetCallerIdentity&Action=AssumeRole",
            ),
            ("Version=2011-06-15", "Version=2011-06-16"),
            ("host%3Bx-pgvalet-audience", "host"),
            ("host%3Bx-pgvalet-audience", "x-pgvalet-audience"),
            (
                "host%3Bx-pgvalet-audience",
                "host%3Bx-evil%3Bx-pgvalet-audience",
            ),
            ("&X-Amz-Signature=00", ""),
            ("&X-Amz-Signature=00", "&X-Amz-Signature=00&RoleArn=x"),
            ("Expires=300", "Expires=901"),
            ("Expires=300", "Expires=-1"),
            ("20260301T115900Z", "yesterday"),
        ] {
            let query = query().replace(from, to);
            assert!(
                read(&format!("https://sts.amazonaws.com/?{query}")).is_err(),
                "{to}"
            );
        }
        for (date, why) in [
            ("20260301T115459Z", Rejected::Expired),
            ("20260301T120501Z", Rejected::NotYetValid),
        ] {
            let query = query().replace("20260301T115900Z", date);
            assert_eq!(
                read(&format!("https://sts.amazonaws.com/?{query}")),
                Err(why)
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}", more in "[A-Za-z0-9%&=;-]{0,80}") {
            let _ = read(&text);
            let _ = read(&format!("https://sts.amazonaws.com/?{}{more}", query()));
        }
    }
}
