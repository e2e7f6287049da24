//! The words of SQL texts: what a proxy reads in them, and how it writes a value.
//!
//! * `comments`   removes comments
//! * `databases`  statements for which nobody else may be connected to a database
//! * `literal`    writes a value as a literal
//! * `suspicion`  what the text of a statement gives reason to ask the server about
//! * `tail`       the rest of a text that is too long for `suspicion`
//! * `words`      what a text resets or deallocates

mod comments;
mod databases;
mod literal;
mod suspicion;
mod tail;
mod words;

pub use comments::is_one_prepare;
pub use databases::{MAX_TEXT as MAX_VACANCY, Vacancy, vacancy};
pub use literal::literal;
pub(crate) use literal::{push_literal, push_text};
pub use suspicion::{Suspicion, holds, is_timeless, makes_table, resets, runs_alone, suspect};
pub use tail::Tail;
pub use words::Resets;

/// Settings that limit a time, in the order in which Postgres got them (the last three
/// in 9.3, 14 and 17).
pub const LIMITS: [&str; 4] = [
    "statement_timeout",
    "lock_timeout",
    "idle_session_timeout",
    "transaction_timeout",
];
