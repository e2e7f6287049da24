//! The words of SQL texts: what a proxy reads in them, and how it writes a value.
//!
//! * `comments`   a text without them
//! * `literal`    a value as a text of SQL
//! * `suspicion`  what a statement's text gives reason to ask the server about
//! * `tail`       what is too long for that
//! * `words`      what a text resets, or deallocates

mod comments;
mod literal;
mod suspicion;
mod tail;
mod words;

pub use comments::is_one_prepare;
pub use literal::literal;
pub(crate) use literal::{push_literal, push_text};
pub use suspicion::{Suspicion, resets, suspect};
pub use tail::Tail;
pub use words::Resets;

/// Settings that limit a time, in the order in which Postgres got them (9.3, 14, 17).
pub const LIMITS: [&str; 4] = [
    "statement_timeout",
    "lock_timeout",
    "idle_session_timeout",
    "transaction_timeout",
];
