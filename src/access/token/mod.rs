//! Identity by a token: a JWT (RFC 7519) that an OpenID Connect issuer signed.
//!
//! * `source` an issuer as the configuration names it
//! * `issuer` its keys: fetched, kept and renewed
//! * `keys`   a set of public keys
//! * `verify` whether a token is one of the issuer's, and what it says
//!
//! What a rule asks of a token is in `identity/token.rs`.

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

/// All issuers that rules name.
#[derive(Clone, Default)]
pub struct Issuers(Vec<Arc<Issuer>>);

impl Issuers {
    /// The issuers of a new configuration. Those that `before` has too are kept, with
    /// their keys.
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

    /// What the token says, once for each issuer of `rules` that vouches for it.
    /// Several can only if one issuer is given with different sources of keys.
    ///
    /// # Errors
    /// [`Rejected`] if none does.
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
                "tokens of this issuer are refused, because its keys cannot be fetched: {error}"
            );
            None
        }
    }
}
