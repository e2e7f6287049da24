//! Who may do what with which secret: IAM policy documents and their
//! evaluation, as AWS documents them in "Policies and permissions in IAM".
//!
//! A principal has identity policies, a secret may have a resource policy. A
//! request is refused if any statement of either denies it. Otherwise it is allowed
//! if any statement allows it, and refused if none does. Principals and secrets
//! belong to one account, so that either kind of policy is enough.
//!
//! A document is parsed once ([`Policy`]); evaluating it cannot fail. Documents that
//! AWS accepts although they can only be mistakes (keys that occur twice, unknown
//! operators) are refused here.

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
