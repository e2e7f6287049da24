//! Who may do what with which secret: IAM policy documents and their
//! evaluation, as AWS documents them in "Policies and permissions in IAM".
//!
//! A principal has identity policies, a secret may have a resource policy. A
//! request is refused by any statement of either that denies it, allowed by any
//! that allows it, and refused where there is none. Principals and secrets are
//! of one account, so that either kind of policy suffices.
//!
//! A document is parsed once ([`Policy`]); what was parsed cannot fail to be
//! evaluated. Where AWS leaves a document standing that can only be a mistake
//! (keys that occur twice, operators it does not know), it is refused here.

mod check;
mod condition;
mod document;
mod evaluate;
mod json;
mod pattern;
mod principal;
mod request;
mod statement;
#[cfg(test)]
mod tests;

pub use check::{Caller, Check, Finding, locks_out, of_secret, operation, public, validate};
pub use document::{DOCUMENT_LIMIT, Kind, Policy, PolicyError};
pub use evaluate::{By, Decision, evaluate};
pub use request::{Context, Principal, Request};
