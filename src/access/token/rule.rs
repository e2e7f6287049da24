//! What a rule says of tokens.

use std::path::PathBuf;
use std::sync::Arc;

use hyper::Uri;

use crate::base::Pattern;
use crate::net::is_loopback;

/// A JWT that a client presents, and what it has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRule {
    pub issuer: Arc<TokenIssuer>,
    /// Must be among the token's `aud`: a token made for another service is
    /// worth nothing here.
    pub audience: String,
    /// `None`: any subject of the issuer.
    pub subject: Option<Pattern>,
    pub claims: Vec<(String, Pattern)>,
    pub method: TokenMethod,
    /// Whether the session ends when the token does.
    pub end_at_expiry: bool,
}

/// Who signs, and where the public keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIssuer {
    /// Exactly as in the token's `iss`.
    pub issuer: String,
    pub keys: TokenKeys,
    /// Instead of the roots of the system.
    pub ca: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKeys {
    File(PathBuf),
    Url(Uri),
    /// The issuer's `.well-known/openid-configuration` says where.
    Discovery(Uri),
}

/// How the token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenMethod {
    /// As the password: every driver can.
    Password,
    /// SASL OAUTHBEARER (RFC 7628), which libpq speaks from version 18 on.
    OauthBearer,
}

/// An address that keys may be fetched from: https, or http on this machine.
pub fn web_address(text: &str) -> Result<Uri, String> {
    let wrong =
        || format!("{text:?} is no web address; write it like \"https://issuer.example/keys\"");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let host = uri.host().ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback(host) => Ok(uri),
        Some("http") => Err(format!(
            "{text:?}: whoever is on the way could answer with keys of his own; use https"
        )),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_by_https_or_from_this_machine() {
        for text in [
            "https://issuer.example/keys",
            "http://127.0.0.1:8080/keys",
            "http://[::1]/k",
        ] {
            assert!(web_address(text).is_ok(), "{text}");
        }
        for text in [
            "http://issuer.example/keys",
            "ftp://x/",
            "keys.json",
            "",
            "https://",
        ] {
            assert!(web_address(text).is_err(), "{text}");
        }
    }
}
