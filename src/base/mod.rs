//! Small things that belong to no part, and know nothing of PostgreSQL or pgvalet.
//!
//! * `crew`      a few threads for each kind of slow work
//! * `duration`  durations as people write them
//! * `hex`       bytes as hexadecimal digits
//! * `jitter`    randomness in time
//! * `log`       the queue between the log and standard error
//! * `nearest`   the known word nearest to a misspelt one
//! * `pattern`   text with `*`
//! * `seldom`    messages that would come too often
//! * `size`      sizes as people write them
//! * `text`      checks of texts

pub mod crew;
pub mod duration;
pub mod hex;
pub mod jitter;
pub mod log;
mod nearest;
mod pattern;
pub mod seldom;
pub mod size;
mod text;

pub use nearest::{by_nearness, nearest, suggestion};
pub use pattern::Pattern;
pub use text::nonempty;
