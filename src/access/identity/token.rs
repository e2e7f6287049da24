//! `token`: the client presents a JWT that an issuer signed, and the token says
//! what the rule asks for.

use std::sync::Arc;

use serde_json::Value;

use super::{Ask, Condition, Identity};
use crate::access::Evidence;
use crate::access::token::{TokenIssuer, Verified};
use crate::audit::IdentityRef;
use crate::base::Pattern;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRule {
    pub issuer: Arc<TokenIssuer>,
    /// The audience, which has to be among the token's `aud`: a token made for another service is
    /// worth nothing here.
    pub audience: String,
    /// `None`: any subject of the issuer.
    pub subject: Option<Pattern>,
    pub claims: Vec<(String, Pattern)>,
    pub method: TokenMethod,
    /// Whether the session ends when the token does.
    pub end_at_expiry: bool,
}

/// How the client is asked for its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenMethod {
    /// The token is sent as the password: every driver can.
    Password,
    /// SASL OAUTHBEARER (RFC 7628), which libpq speaks from version 18 on.
    OauthBearer,
}

impl TokenRule {
    /// Whether the token says what the rule asks for: issuer, audience, subject
    /// and every claim.
    pub fn accepts(&self, token: &Verified) -> bool {
        token.by == self.issuer
            && token.audience.contains(&self.audience)
            && (self.subject.as_ref()).is_none_or(|wanted| wanted.matches(&token.subject))
            && (self.claims.iter())
                .all(|(name, wanted)| has(token.claims.get(name.as_str()), wanted))
    }

    fn subject(&self) -> &str {
        self.subject.as_ref().map_or("anybody", |s| s.as_str())
    }
}

/// Whether a claim has the value. A list ("groups") has it if one of its
/// elements does.
fn has(claim: Option<&Value>, wanted: &Pattern) -> bool {
    match claim {
        Some(Value::String(text)) => wanted.matches(text),
        Some(Value::Bool(b)) => wanted.matches(if *b { "true" } else { "false" }),
        Some(Value::Number(n)) => wanted.matches(&n.to_string()),
        Some(Value::Array(list)) => list
            .iter()
            .any(|item| item.as_str().is_some_and(|text| wanted.matches(text))),
        _ => false,
    }
}

impl Condition for TokenRule {
    fn matches(&self, evidence: &Evidence) -> bool {
        evidence.tokens.iter().any(|token| self.accepts(token))
    }

    fn because(&self, evidence: &Evidence) -> String {
        if evidence.tokens.is_empty() {
            return "there is no valid token".to_owned();
        }
        let found: Vec<String> = evidence
            .tokens
            .iter()
            .map(|t| {
                let audience = t.audience.join(", ");
                format!("{} of {} for {audience}", t.subject, t.by.issuer)
            })
            .collect();
        let claims: String = self
            .claims
            .iter()
            .map(|(name, wanted)| format!(", with {name} = {:?}", wanted.as_str()))
            .collect();
        format!(
            "the token is {}; wanted: {} of {} for {}{claims}",
            found.join("; "),
            self.subject(),
            self.issuer.issuer,
            self.audience
        )
    }

    fn describe(&self) -> String {
        format!("token of {} for {}", self.issuer.issuer, self.subject())
    }

    fn covers(&self, other: &Identity) -> bool {
        other.token.as_ref() == Some(self)
    }

    fn ask(&self, evidence: &Evidence) -> Option<Ask<'_>> {
        evidence.tokens.is_empty().then_some(Ask {
            method: self.method,
            issuer: Some(&self.issuer.issuer),
        })
    }
}

pub(super) fn identity(evidence: &Evidence) -> Option<IdentityRef> {
    let token = evidence.tokens.first()?;
    Some(IdentityRef {
        subject: token.subject.as_str().into(),
        issuer: Some(token.by.issuer.as_str().into()),
        token_id: token.id.as_deref().map(Into::into),
        ..IdentityRef::default()
    })
}
