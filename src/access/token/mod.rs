//! Identity by a token: a JWT (RFC 7519) that an OpenID Connect issuer signed.
//!
//! * `keys`   an issuer's public keys
//! * `issuer` where they come from, and how long they are kept
//! * `verify` signature and times; what a token says

mod issuer;
pub(crate) mod keys;
mod rule;
#[cfg(test)]
mod tests;
pub(crate) mod verify;

pub use issuer::Issuer;
pub use verify::{LONGEST, Rejected, Verified};

pub use rule::{TokenIssuer, TokenKeys, TokenMethod, TokenRule, web_address};

use std::sync::Arc;

use serde_json::Value;
use tracing::warn;

use crate::net::https::Https;

/// Every issuer that a rule names.
#[derive(Clone, Default)]
pub struct Issuers(Vec<Arc<Issuer>>);

impl Issuers {
    /// Those of a new configuration; what `before` knows of the same ones, their
    /// keys above all, is kept.
    pub fn new<'a>(rules: impl Iterator<Item = &'a TokenRule>, before: &Self) -> Self {
        let mut issuers: Vec<Arc<Issuer>> = Vec::new();
        for rule in rules {
            let wanted = &rule.issuer;
            if issuers.iter().any(|i| i.config() == wanted) {
                continue;
            }
            let known = before.0.iter().find(|i| i.config() == wanted).cloned();
            issuers.extend(known.or_else(|| start(wanted)));
        }
        Self(issuers)
    }

    /// What the issuers of `rules` vouch for: one of them as a rule, several
    /// only where the same issuer is given with different sources of keys.
    ///
    /// # Errors
    /// [`Rejected`], where there is none.
    pub async fn verify<'a>(
        &self,
        token: &str,
        rules: impl Iterator<Item = &'a TokenRule>,
    ) -> Result<Vec<Verified>, Rejected> {
        let mut asked: Vec<&TokenIssuer> = Vec::new();
        let mut verified = Vec::new();
        let mut rejected = Rejected::UnknownIssuer;
        for rule in rules {
            if asked.contains(&&*rule.issuer) {
                continue;
            }
            asked.push(&rule.issuer);
            let outcome = match self.0.iter().find(|i| *i.config() == rule.issuer) {
                Some(issuer) => issuer.verify(token).await,
                None => Err(Rejected::KeysUnavailable),
            };
            match outcome {
                Ok(said) => verified.push(said),
                Err(Rejected::UnknownIssuer) => {}
                Err(why) => rejected = why,
            }
        }
        if verified.is_empty() {
            Err(rejected)
        } else {
            Ok(verified)
        }
    }
}

fn start(config: &Arc<TokenIssuer>) -> Option<Arc<Issuer>> {
    match Https::new(config.ca.as_deref()) {
        Ok(https) => Some(Issuer::new(config.clone(), https)),
        Err(error) => {
            warn!(
                issuer = config.issuer,
                "tokens of this issuer are refused: {error}"
            );
            None
        }
    }
}

/// Whether what a token says is what a rule asks for: audience, subject, and
/// every claim.
pub fn satisfies(rule: &TokenRule, token: &Verified) -> bool {
    token.by == rule.issuer
        && token.audience.contains(&rule.audience)
        && rule
            .subject
            .as_ref()
            .is_none_or(|wanted| wanted.matches(&token.subject))
        && rule.claims.iter().all(|(name, wanted)| {
            // A list holds if one of its elements does: "groups".
            match token.claims.get(name) {
                Some(Value::String(text)) => wanted.matches(text),
                Some(Value::Bool(b)) => wanted.matches(if *b { "true" } else { "false" }),
                Some(Value::Number(n)) => wanted.matches(&n.to_string()),
                Some(Value::Array(list)) => list
                    .iter()
                    .any(|item| item.as_str().is_some_and(|text| wanted.matches(text))),
                _ => false,
            }
        })
}
