//! Is this a token of that issuer, and what does it say?

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::TokenIssuer;
use super::keys::KeySet;

/// A token of more bytes is refused before it is looked at. Those of
/// Kubernetes have about one kilobyte, those with many groups a few.
pub const LONGEST: usize = 16 * 1024;

/// By how much the clocks of issuer and proxy may differ, in seconds.
const LEEWAY: u64 = 30;

/// What a token whose signature holds says. Not the token itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Whose keys the signature was checked with.
    pub by: Arc<TokenIssuer>,
    pub subject: String,
    pub audience: Vec<String>,
    /// `jti`, for the record.
    pub id: Option<String>,
    pub expires: SystemTime,
    pub claims: Map<String, Value>,
}

/// Why a token counts for nothing. For the record only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// There is none: libpq asks so where one is to be had.
    Missing,
    TooLarge,
    Malformed,
    UnknownIssuer,
    UnknownKey,
    /// The issuer's keys could not be had.
    KeysUnavailable,
    /// Wrong, or by an algorithm that the key is not for.
    Signature,
    Expired,
    NotYetValid,
    /// A request to somebody else, or for something else, than who the caller
    /// is.
    Foreign,
}

impl Rejected {
    /// The word for records.
    pub fn reason(self) -> &'static str {
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
}

/// What can be read off a token before its signature is checked: only good
/// for finding the key to check it with.
pub struct Unverified {
    pub issuer: String,
    pub key_id: Option<String>,
}

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
    // Fails for algorithms that are none, and for "none".
    let header = decode_header(token).map_err(|_| Rejected::Malformed)?;
    // RFC 7515 section 4.1.11: extensions that must be understood, and are not.
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

/// Checks signature, issuer and times. The audience is for the rules to judge:
/// each names its own.
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
