//! Whether a token is one of an issuer's, and what it says.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::TokenIssuer;
use super::keys::KeySet;

/// The most bytes of a token; a longer one is refused unread. Tokens of Kubernetes
/// have about one kilobyte, those with many groups a few.
pub const LONGEST: usize = 16 * 1024;

/// How far the clocks of issuer and proxy may be apart, in seconds.
const LEEWAY: u64 = 30;

/// What a token with a valid signature says. The token itself is not kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The issuer with whose keys the signature was checked.
    pub by: Arc<TokenIssuer>,
    pub subject: String,
    pub audience: Vec<String>,
    /// The token's `jti`, for the audit record.
    pub id: Option<String>,
    pub expires: SystemTime,
    pub claims: Map<String, Value>,
}

/// Why a token, or a request to STS, proves nothing. The client is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// The client presented no token. libpq sends an empty one to be told where to get a token.
    Missing,
    TooLarge,
    Malformed,
    UnknownIssuer,
    UnknownKey,
    /// The issuer's keys, or STS, cannot be reached.
    KeysUnavailable,
    /// The signature is wrong, or made with an algorithm that the key is not for.
    Signature,
    Expired,
    NotYetValid,
    /// A request to STS that is for another service, or asks anything but who the
    /// caller is.
    Foreign,
}

impl Rejected {
    /// The name of the reason in audit records, metrics and JSON. Other programs rely on the names,
    /// which are never changed.
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "no_token",
            Self::TooLarge => "token_too_large",
            Self::Malformed => "token_malformed",
            Self::UnknownIssuer => "token_unknown_issuer",
            Self::UnknownKey => "token_unknown_key",
            Self::KeysUnavailable => "token_keys_unavailable",
            Self::Signature => "token_signature",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::Foreign => "token_foreign_request",
        }
    }

    /// The reason in words, for the operator.
    pub fn words(self) -> &'static str {
        match self {
            Self::Missing => "the client has no token",
            Self::TooLarge => "the token is larger than 16 KiB",
            Self::Malformed => "the token cannot be read",
            Self::UnknownIssuer => "no rule names the issuer of the token",
            Self::UnknownKey => "the issuer has no key of the token's id",
            Self::KeysUnavailable => "the issuer of the token cannot be reached",
            Self::Signature => "the signature of the token is wrong",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::Foreign => "the signed request is not for STS and this service",
        }
    }
}

/// What a token says before its signature is checked. It only serves to find the key
/// to check it with.
pub struct Unverified {
    pub issuer: String,
    pub key_id: Option<String>,
}

/// Reads what is needed to find the key of a token.
///
/// # Errors
/// [`Rejected::TooLarge`], [`Rejected::Malformed`].
pub fn peek(token: &str) -> Result<Unverified, Rejected> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    if token.len() > LONGEST {
        return Err(Rejected::TooLarge);
    }
    // Fails for unknown algorithms, and for "none".
    let header = decode_header(token).map_err(|_| Rejected::Malformed)?;
    // The token has extensions that the receiver must understand (RFC 7515, section
    // 4.1.11); none is understood here.
    if header.crit.is_some() {
        return Err(Rejected::Malformed);
    }
    let Issuer { iss } =
        jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| Rejected::Malformed)?;
    Ok(Unverified {
        issuer: iss,
        key_id: header.kid,
    })
}

/// Checks signature, issuer and times. The audience is checked by each rule, which
/// names its own.
///
/// # Errors
/// [`Rejected`]
pub fn verify(
    token: &str,
    unverified: &Unverified,
    by: &Arc<TokenIssuer>,
    keys: &KeySet,
) -> Result<Verified, Rejected> {
    let mut rejected = Rejected::UnknownKey;
    for key in keys.with_id(unverified.key_id.as_deref()) {
        let mut validation = Validation::new(key.algorithms[0]);
        validation.algorithms = key.algorithms.clone();
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        validation.iss = Some(HashSet::from([by.issuer.clone()]));
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        match decode::<Map<String, Value>>(token, &key.key, &validation) {
            Ok(data) => return read(by, data.claims).ok_or(Rejected::Malformed),
            Err(error) => {
                rejected = match error.kind() {
                    ErrorKind::ExpiredSignature => return Err(Rejected::Expired),
                    ErrorKind::ImmatureSignature => return Err(Rejected::NotYetValid),
                    ErrorKind::InvalidIssuer => return Err(Rejected::UnknownIssuer),
                    ErrorKind::MissingRequiredClaim(_)
                    | ErrorKind::InvalidClaimFormat(_)
                    | ErrorKind::InvalidToken
                    | ErrorKind::Json(_) => return Err(Rejected::Malformed),
                    _ => Rejected::Signature,
                };
            }
        }
    }
    Err(rejected)
}

fn read(by: &Arc<TokenIssuer>, claims: Map<String, Value>) -> Option<Verified> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let audience = match claims.get("aud") {
        None => Vec::new(),
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(several)) => several
            .iter()
            .map(|a| a.as_str().map(str::to_owned))
            .collect::<Option<_>>()?,
        Some(_) => return None,
    };
    let expires = claims.get("exp").and_then(Value::as_f64)?;
    let since_epoch = Duration::try_from_secs_f64(expires).ok()?;
    Some(Verified {
        by: by.clone(),
        subject: text("sub")?,
        audience,
        id: text("jti"),
        expires: SystemTime::UNIX_EPOCH.checked_add(since_epoch)?,
        claims,
    })
}
