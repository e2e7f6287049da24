//! Decisions, and the statement that makes them.

use std::fmt;

use super::document::{Effect, Policy};
use super::request::Request;

/// The statement that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct By<'a> {
    pub policy: &'a str,
    pub sid: Option<&'a str>,
    /// The position of the statement in the policy, from 0.
    pub index: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision<'a> {
    Allowed(By<'a>),
    /// A statement denies it, whatever others allow.
    Denied(By<'a>),
    /// No statement allows it.
    NotAllowed,
}

impl Decision<'_> {
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sid {
            Some(sid) => write!(f, "statement {:?} of {}", sid, self.policy),
            None => write!(f, "statement {} of {}", self.index + 1, self.policy),
        }
    }
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed(by) => write!(f, "allowed by {by}"),
            Self::Denied(by) => write!(f, "denied by {by}"),
            Self::NotAllowed => f.write_str("denied, because no statement allows it"),
        }
    }
}

/// Decides by the policies of the principal and of the secret: an explicit Deny wins,
/// then an Allow, and without either the request is denied.
pub fn evaluate<'a>(
    request: &Request<'_>,
    identity: impl IntoIterator<Item = &'a Policy>,
    resource: Option<&'a Policy>,
) -> Decision<'a> {
    let mut allowed = Decision::NotAllowed;
    for policy in identity.into_iter().chain(resource) {
        for (index, statement) in policy.statements.iter().enumerate() {
            if !statement.applies(request) {
                continue;
            }
            let by = By {
                policy: &policy.name,
                sid: statement.sid.as_deref(),
                index,
            };
            match statement.effect {
                Effect::Deny => return Decision::Denied(by),
                Effect::Allow if allowed == Decision::NotAllowed => {
                    allowed = Decision::Allowed(by);
                }
                Effect::Allow => {}
            }
        }
    }
    allowed
}
