//! Small things that belong to no part: they know nothing of PostgreSQL or of pgvalet.
//!
//! * `crew`      a few threads for each kind of slow work
//! * `duration`  durations as people write them
//! * `hex`       bytes as hexadecimal digits
//! * `jitter`    randomness in time
//! * `log`       lines on their way to standard error
//! * `nearest`   which word was meant
//! * `pattern`   text with `*`
//! * `text`      what texts may be

pub mod crew;
pub mod duration;
pub mod hex;
pub mod jitter;
pub mod log;
mod nearest;
mod pattern;
mod text;

pub use nearest::{by_nearness, nearest};
pub use pattern::Pattern;
pub use text::nonempty;
