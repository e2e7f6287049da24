//! `token = { … }` of a `[[client]]` rule.

use std::sync::Arc;

use toml::de::DeValue;

use super::section::Section;
use crate::access::{TokenIssuer, TokenKeys, TokenMethod, TokenRule, web_address};
use crate::base::{Pattern, nonempty};

/// Reads `token` where it is given.
pub(super) fn token(s: &mut Section<'_, '_>) -> Option<TokenRule> {
    let mut t = s.inner("token")?;
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
    let keys = keys(&mut t, &issuer);
    let ca = t.path("ca");
    let claims = claims(&mut t);
    let words = [
        ("password", TokenMethod::Password),
        ("oauthbearer", TokenMethod::OauthBearer),
    ];
    let method = t.choice("method", words);
    let end_at_expiry = t.boolean("end_at_expiry");
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
        method,
        end_at_expiry,
    })
}

/// Where the issuer's public keys are.
fn keys(t: &mut Section<'_, '_>, issuer: &str) -> Option<TokenKeys> {
    let (file, url) = (t.path("jwks_file"), t.text("jwks_url", web_address));
    match (file, url) {
        (Some(_), Some(_)) => {
            t.wrong("jwks_file and jwks_url are both given; remove one");
            None
        }
        (Some(file), None) => Some(TokenKeys::File(file)),
        (None, Some(url)) => Some(TokenKeys::Url(url)),
        // That there is no issuer has been noted.
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
    }
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
