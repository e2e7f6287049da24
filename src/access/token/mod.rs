//! Identity by a token: a JWT (RFC 7519) that an OpenID Connect issuer signed.
//!
//! * `keys`   an issuer's public keys
//! * `issuer` where they come from, and how long they are kept
//! * `verify` signature and times; what a token says

mod issuer;
pub(crate) mod keys;
mod source;
#[cfg(test)]
mod tests;
pub(crate) mod verify;

pub use issuer::Issuer;
pub use source::{TokenIssuer, TokenKeys, web_address};
pub use verify::{LONGEST, Rejected, Verified};

use std::sync::Arc;

use tracing::warn;

use super::TokenRule;
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
