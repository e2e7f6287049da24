//! `token = { … }` of a `[[client]]` rule.

use std::path::PathBuf;
use std::sync::Arc;

use hyper::Uri;
use toml::de::DeValue;

use super::file::Section;
use super::values::{is_loopback, nonempty, word};
use crate::base::Pattern;

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

/// Reads `token` where it is given.
pub(super) fn token(s: &mut Section<'_, '_>) -> Option<TokenRule> {
    if !s.has("token") {
        return None;
    }
    let mut t = s.section("token");
    for (key, why) in [
        ("issuer", "whose tokens count"),
        ("audience", "what tokens must be made for"),
    ] {
        if !t.has(key) {
            t.wrong(format!("there is no {key}; add {key} = \"…\", {why}"));
        }
    }
    let issuer = t.text("issuer", nonempty).unwrap_or_default();
    let audience = t.text("audience", nonempty).unwrap_or_default();
    let subject = t.text("subject", pattern);
    let (file, url) = (t.path("jwks_file"), t.text("jwks_url", web_address));
    let keys = match (file, url) {
        (Some(_), Some(_)) => {
            t.wrong("jwks_file and jwks_url are both given; remove one");
            None
        }
        (Some(file), None) => Some(TokenKeys::File(file)),
        (None, Some(url)) => Some(TokenKeys::Url(url)),
        (None, None) if issuer.is_empty() => None,
        (None, None) => {
            let base = issuer.trim_end_matches('/');
            match web_address(&format!("{base}/.well-known/openid-configuration")) {
                Ok(uri) => Some(TokenKeys::Discovery(uri)),
                Err(_) => {
                    t.wrong("the issuer is no https address, so its keys cannot be found by it; add jwks_file = \"FILE\" or jwks_url = \"https://…\"");
                    None
                }
            }
        }
    };
    let ca = t.path("ca");
    let claims = claims(&mut t);
    let words = [
        ("password", TokenMethod::Password),
        ("oauthbearer", TokenMethod::OauthBearer),
    ];
    let method = t.text("method", |text| word(text, &words));
    let end_at_expiry = t.boolean("end_at_expiry").unwrap_or(false);
    t.finish();
    Some(TokenRule {
        issuer: Arc::new(TokenIssuer {
            issuer,
            keys: keys?,
            ca,
        }),
        audience,
        subject,
        claims,
        method: method.unwrap_or(TokenMethod::Password),
        end_at_expiry,
    })
}

fn claims(t: &mut Section<'_, '_>) -> Vec<(String, Pattern)> {
    t.value("claims", |value| match value {
        DeValue::Table(table) => table
            .iter()
            .map(|(name, value)| match value.get_ref() {
                DeValue::String(text) => Ok((name.get_ref().to_string(), pattern(text)?)),
                _ => Err(format!(
                    "write the value of {:?} as text in quotes; * stands for anything",
                    name.get_ref()
                )),
            })
            .collect(),
        _ => Err("write claims = { name = \"value\" }".to_owned()),
    })
    .unwrap_or_default()
}

pub(super) fn pattern(text: &str) -> Result<Pattern, String> {
    nonempty(text).map(Pattern::new)
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
