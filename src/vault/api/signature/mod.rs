//! Signature Version 4: checking who signed a request.
//!
//! There are two steps, because the key has to be looked up between them.
//! [`Signed::read`] parses what the request says about its signature,
//! [`Signed::verify`] computes the signature again. The hash of the body is always
//! computed from the body that arrived, never taken from the request.

mod canonical;
#[cfg(test)]
mod tests;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use zeroize::Zeroizing;

use super::ApiError;
use crate::base::hex;
use canonical::pairs;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "secretsmanager";
const TERMINATOR: &str = "aws4_request";
/// How much the clocks may differ.
const SKEW: TimeDelta = TimeDelta::minutes(5);
/// The largest X-Amz-Expires of presigned requests, in seconds: a week, as in AWS.
const LONGEST_LIFE: i64 = 604_800;
const DATE: &str = "%Y%m%dT%H%M%SZ";

/// What a request says about its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub access_key: String,
    /// `DATE/REGION/SERVICE/aws4_request`
    scope: String,
    /// X-Amz-Date, as written and as a time.
    date: (String, DateTime<Utc>),
    /// How long a presigned request is valid.
    expires: Option<TimeDelta>,
    headers: Vec<String>,
    signature: Vec<u8>,
}

fn incomplete(text: impl Into<String>) -> ApiError {
    ApiError::new("IncompleteSignatureException", text)
}

fn invalid(text: impl Into<String>) -> ApiError {
    ApiError::new("InvalidSignatureException", text)
}

impl Signed {
    /// Reads the Authorization header, or the query of a presigned request.
    pub fn read(head: &Parts) -> Result<Self, ApiError> {
        // Session tokens are refused, because nothing here hands them out.
        let query = pairs(head.uri.query().unwrap_or_default());
        let token = "x-amz-security-token";
        if head.headers.contains_key(token)
            || query
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case(token))
        {
            return Err(unrecognised());
        }
        let signed = match head.headers.get("authorization") {
            Some(value) => {
                let value = value
                    .to_str()
                    .map_err(|_| incomplete("Authorization is not text."))?;
                Self::from_header(value, &head.headers)?
            }
            None if query.iter().any(|(name, _)| name == "X-Amz-Algorithm") => {
                Self::from_query(&query)?
            }
            None => {
                return Err(ApiError::new(
                    "MissingAuthenticationTokenException",
                    "Missing Authentication Token",
                ));
            }
        };
        signed.check_form(&head.headers)?;
        Ok(signed)
    }

    fn from_header(value: &str, headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(rest) = value.strip_prefix(ALGORITHM) else {
            return Err(incomplete(format!(
                "Authorization does not begin with {ALGORITHM}."
            )));
        };
        let field = |name: &str| {
            rest.split(',')
                .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(|| {
                    incomplete(format!("Authorization header requires '{name}' parameter."))
                })
        };
        let date = headers
            .get("x-amz-date")
            .and_then(|date| date.to_str().ok())
            .ok_or_else(|| incomplete("The request has no 'X-Amz-Date' header."))?;
        Self::new(
            field("Credential")?,
            date,
            None,
            field("SignedHeaders")?,
            field("Signature")?,
        )
    }

    fn from_query(query: &[(String, String)]) -> Result<Self, ApiError> {
        let field = |name: &str| {
            query
                .iter()
                .find_map(|(n, value)| (n == name).then_some(value.as_str()))
                .ok_or_else(|| incomplete(format!("The query requires '{name}'.")))
        };
        if field("X-Amz-Algorithm")? != ALGORITHM {
            return Err(incomplete(format!("X-Amz-Algorithm must be {ALGORITHM}.")));
        }
        let expires: i64 = field("X-Amz-Expires")?
            .parse()
            .ok()
            .filter(|seconds| (1..=LONGEST_LIFE).contains(seconds))
            .ok_or_else(|| incomplete(format!("X-Amz-Expires must be 1 to {LONGEST_LIFE}.")))?;
        Self::new(
            field("X-Amz-Credential")?,
            field("X-Amz-Date")?,
            Some(TimeDelta::seconds(expires)),
            field("X-Amz-SignedHeaders")?,
            field("X-Amz-Signature")?,
        )
    }

    fn new(
        credential: &str,
        date: &str,
        expires: Option<TimeDelta>,
        headers: &str,
        signature: &str,
    ) -> Result<Self, ApiError> {
        let (access_key, scope) = credential
            .split_once('/')
            .filter(|(key, _)| !key.is_empty() && key.len() <= 128)
            .ok_or_else(|| {
                incomplete("Credential must be KEY/DATE/REGION/SERVICE/aws4_request.")
            })?;
        let time = NaiveDateTime::parse_from_str(date, DATE)
            .map_err(|_| incomplete("X-Amz-Date must be written like 20260131T120000Z."))?;
        Ok(Self {
            access_key: access_key.to_owned(),
            scope: scope.to_owned(),
            date: (date.to_owned(), time.and_utc()),
            expires,
            headers: headers.split(';').map(str::to_ascii_lowercase).collect(),
            signature: hex::decode(signature)
                .ok_or_else(|| incomplete("Signature is not hexadecimal."))?,
        })
    }

    fn check_form(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        // A request without these in its signature could be sent again to another
        // host, at another time, or as another operation.
        let date = self.expires.is_none().then_some("x-amz-date");
        for name in ["host", "x-amz-target"].into_iter().chain(date) {
            if !self.headers.iter().any(|h| h == name) {
                return Err(invalid(format!(
                    "'{name}' must be among the SignedHeaders."
                )));
            }
        }
        // A second header of the name might be the one that is used, and not the one
        // that was signed.
        for name in ["host", "x-amz-target", "x-amz-date"] {
            if headers.get_all(name).iter().count() > 1 {
                return Err(invalid(format!("There is more than one '{name}'.")));
            }
        }
        let parts: Vec<&str> = self.scope.split('/').collect();
        let [date, region, service, terminator] = parts[..] else {
            return Err(incomplete(
                "Credential must be KEY/DATE/REGION/SERVICE/aws4_request.",
            ));
        };
        if self.date.0.get(..8) != Some(date) {
            return Err(invalid(
                "Date in Credential scope does not match that of X-Amz-Date.",
            ));
        }
        // The store has no region, so any is accepted.
        if region.is_empty() || service != SERVICE || terminator != TERMINATOR {
            return Err(invalid(format!(
                "Credential should be scoped to correct service: '{SERVICE}'."
            )));
        }
        Ok(())
    }

    /// Whether the request is neither too old nor from the future.
    pub fn check_time(&self, now: DateTime<Utc>) -> Result<(), ApiError> {
        let (written, at) = (&self.date.0, self.date.1);
        let earliest = now - self.expires.unwrap_or(SKEW);
        if at < earliest {
            let (earliest, now) = (earliest.format(DATE), now.format(DATE));
            return Err(invalid(format!(
                "Signature expired: {written} is now earlier than {earliest} ({now} - 5 min.)"
            )));
        }
        if at > now + SKEW {
            let (latest, now) = ((now + SKEW).format(DATE), now.format(DATE));
            return Err(invalid(format!(
                "Signature not yet current: {written} is still later than {latest} ({now} + 5 min.)"
            )));
        }
        Ok(())
    }

    /// Derives the key that signs within the scope of this request.
    pub fn signing_key(&self, secret: &str) -> SigningKey {
        let first = Zeroizing::new(format!("AWS4{secret}").into_bytes());
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, &first);
        for part in self.scope.split('/') {
            let tag = hmac::sign(&key, part.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
        }
        SigningKey(key)
    }

    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Whether this key signed the request as it arrived.
    pub fn verify(&self, key: &SigningKey, head: &Parts, body: &[u8]) -> Result<(), ApiError> {
        let request = self.canonical(head, body);
        let to_sign = format!(
            "{ALGORITHM}\n{}\n{}\n{}",
            self.date.0,
            self.scope,
            hex::encode(digest(&SHA256, request.as_bytes()).as_ref())
        );
        // The comparison takes constant time.
        hmac::verify(&key.0, to_sign.as_bytes(), &self.signature).map_err(|_| {
            invalid(
                "The request signature we calculated does not match the signature you provided. \
                 Check your AWS Secret Access Key and signing method. Consult the service \
                 documentation for details.",
            )
        })
    }
}

/// The error for a key that does not exist or is not accepted. It does not tell
/// which of the two.
pub fn unrecognised() -> ApiError {
    ApiError::new(
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    )
}

/// The signing key for one access key, day, region and service. Deliberately without
/// `Debug`.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);
