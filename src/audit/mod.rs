//! The audit log: who used which version of which secret, when, from where.

mod record;

pub use record::{CredentialRef, Event, IdentityRef, Outcome, Record, ServerRef};
