//! The request to STS that a client signed, before anybody is asked.
//!
//! It is a whole web address, written by somebody who may be hostile: whatever
//! in it is not exactly what a signed GetCallerIdentity needs is refused, so that
//! pgvalet can be made to ask nobody but STS, and nothing but this.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use hyper::Uri;
use percent_encoding::percent_decode_str;

use super::AUDIENCE_HEADER;
use crate::access::Sts;
use crate::access::token::Rejected;

/// The longest that a client may have made its request valid for.
const LONGEST_VALIDITY: i64 = 15 * 60;
/// By how much clocks may differ.
const LEEWAY: TimeDelta = TimeDelta::minutes(5);

/// May be in the query, each once; the first seven have to be.
const PARAMETERS: [&str; 8] = [
    "Action",
    "Version",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Security-Token",
];
const SIGNATURE: &str = "X-Amz-Signature";

/// A request that may be sent.
#[derive(Debug)]
pub struct Presigned {
    pub uri: Uri,
    pub expires: DateTime<Utc>,
}

impl Presigned {
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
        // The signature covers the audience: without that, a request made for
        // another service would do here as well.
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

/// The query, decoded; `None` where a parameter is unknown, twice there, or
/// missing.
fn parameters(query: &str) -> Option<BTreeMap<&str, String>> {
    let mut found = BTreeMap::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=')?;
        if name != SIGNATURE && !PARAMETERS.contains(&name) {
            return None;
        }
        let value = percent_decode_str(value).decode_utf8().ok()?;
        if found.insert(name, value.into_owned()).is_some() {
            return None;
        }
    }
    let there = |name: &&str| found.contains_key(*name);
    let required = PARAMETERS[..7].iter().chain([&SIGNATURE]);
    required.clone().all(there).then_some(found)
}

/// STS itself, by its global or a regional name, or the endpoint that the
/// configuration names.
fn is_endpoint(uri: &Uri, sts: &Sts) -> bool {
    if uri.path() != "/" {
        return false;
    }
    if let Some(endpoint) = &sts.endpoint {
        return uri.scheme() == endpoint.scheme() && uri.authority() == endpoint.authority();
    }
    // The whole authority, not the host alone: no port, no user.
    let Some(authority) = uri.authority().map(hyper::http::uri::Authority::as_str) else {
        return false;
    };
    let Some(rest) = authority.strip_prefix("sts.") else {
        return false;
    };
    let regional = || {
        let (region, domain) = rest.split_once('.')?;
        Some(is_region(region, domain))
    };
    uri.scheme_str() == Some("https") && (rest == "amazonaws.com" || regional() == Some(true))
}

/// Whether a region can be one of the partition that has this domain: AWS and
/// its GovCloud, China, the European Sovereign Cloud. Something else before the
/// domain is the name of something else: a bucket, a load balancer.
fn is_region(region: &str, domain: &str) -> bool {
    const AREAS: [&str; 9] = ["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"];
    const SIDES: [&str; 9] = [
        "north",
        "south",
        "east",
        "west",
        "central",
        "northeast",
        "northwest",
        "southeast",
        "southwest",
    ];
    let parts: Vec<&str> = region.split('-').collect();
    let [area @ .., side, number] = &parts[..] else {
        return false;
    };
    let area = match (domain, area) {
        ("amazonaws.com", [area]) => AREAS.contains(area),
        ("amazonaws.com", ["us", "gov"]) => true,
        ("amazonaws.com.cn", ["cn"]) => true,
        ("amazonaws.eu", ["eusc", "de"]) => true,
        _ => false,
    };
    let number = matches!(
        number.as_bytes(),
        [b'1'..=b'9'] | [b'1'..=b'9', b'0'..=b'9']
    );
    area && SIDES.contains(side) && number
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
    fn sts_and_nobody_else_is_asked() {
        let query = query();
        for host in [
            "sts.amazonaws.com",
            "sts.eu-west-1.amazonaws.com",
            "sts.ap-southeast-7.amazonaws.com",
            "sts.us-gov-west-1.amazonaws.com",
            "sts.cn-north-1.amazonaws.com.cn",
            "sts.eusc-de-east-1.amazonaws.eu",
        ] {
            assert!(read(&format!("https://{host}/?{query}")).is_ok(), "{host}");
        }
        for address in [
            "http://sts.amazonaws.com/",
            "https://sts.amazonaws.com:8443/",
            "https://sts.amazonaws.com/latest/",
            "https://sts.amazonaws.com.attacker.example/",
            "https://attacker.example/",
            "https://sts.attacker.example#.amazonaws.com/",
            "https://user@sts.amazonaws.com/",
            "https://sts.x.y.amazonaws.com/",
            "https://sts.amazonaws.com@attacker.example/",
            "https://169.254.169.254/",
            "https://sts..amazonaws.com/",
            // No regions, or of another partition.
            "https://sts.s3.amazonaws.com/",
            "https://sts.evil.amazonaws.com/",
            "https://sts.my-bucket-1.amazonaws.com/",
            "https://sts.eu-west.amazonaws.com/",
            "https://sts.eu-west-0.amazonaws.com/",
            "https://sts.eu-west-100.amazonaws.com/",
            "https://sts.eu-west-1a.amazonaws.com/",
            "https://sts.EU-WEST-1.amazonaws.com/",
            "https://sts.xx-west-1.amazonaws.com/",
            "https://sts.eu-best-1.amazonaws.com/",
            "https://sts.us-gov-gov-west-1.amazonaws.com/",
            "https://sts.-west-1.amazonaws.com/",
            "https://sts.cn-north-1.amazonaws.com/",
            "https://sts.eu-west-1.amazonaws.com.cn/",
            "https://sts.eu-west-1.amazonaws.eu/",
            "https://sts.amazonaws.com.cn/",
            "https://sts.eu-west-1.elb.amazonaws.com/",
            "https://sts.eu-west-1.amazonaws.com./",
        ] {
            assert!(read(&format!("{address}?{query}")).is_err(), "{address}");
        }
        let own = Sts {
            endpoint: Some("http://127.0.0.1:5000/".parse().unwrap()),
            ..sts()
        };
        let at = |address: &str| Presigned::read(&format!("{address}?{query}"), &own, now());
        assert!(at("http://127.0.0.1:5000/").is_ok());
        assert!(at("http://127.0.0.1:5001/").is_err());
        assert!(at("https://sts.amazonaws.com/").is_err());
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
