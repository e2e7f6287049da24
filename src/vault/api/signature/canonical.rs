//! The canonical form of a request, which is what Signature Version 4 signs: "Create
//! a canonical request" in the IAM documentation.

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Signed;
use crate::base::hex;

/// The unreserved characters of RFC 3986 are not encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Signed {
    /// The canonical request: the text whose hash is signed.
    pub(super) fn canonical(&self, head: &Parts, body: &[u8]) -> String {
        let mut query: Vec<(String, String)> = pairs(head.uri.query().unwrap_or_default())
            .into_iter()
            .filter(|(name, _)| name != "X-Amz-Signature")
            .map(|(name, value)| (encode(&name), encode(&value)))
            .collect();
        query.sort();
        let query: Vec<String> = query.into_iter().map(|(n, v)| format!("{n}={v}")).collect();
        let mut text = format!(
            "{}\n{}\n{}\n",
            head.method,
            head.uri.path(),
            query.join("&")
        );
        for name in &self.headers {
            let values: Vec<String> = head
                .headers
                .get_all(name.as_str())
                .iter()
                .map(|value| {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
                })
                .collect();
            text += &format!("{name}:{}\n", values.join(","));
        }
        text + &format!(
            "\n{}\n{}",
            self.headers.join(";"),
            hex::encode(digest(&SHA256, body).as_ref())
        )
    }
}

/// Names and values of a query, decoded.
pub(super) fn pairs(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

pub(super) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
