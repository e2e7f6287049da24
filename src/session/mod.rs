//! One client, from accept to goodbye.
//!
//! * `serve`    the life of one connection, from top to bottom
//! * `arrive`   from accept to a session or a refusal, under one deadline
//! * `greet`    what a client is told first: parameters up to ReadyForQuery
//! * `run`      a session at work: leases, what a client leaves behind, moving along
//! * `relay`    the data path: frames of both directions, what the server still owes
//! * `registry` all sessions as others see them: signals, cancels, time limits
//! * `waits`    a client that waits: what it is told, and whether it is still there
//! * `metrics`  what sessions measure; `traced` the span of a session
//! * `revoke`   sessions whose access has ended
//! * `options`  keys of `[listen]` about sessions
//! * `seats`    how many clients there may be
//! * `context`  what all sessions share
//! * `console`  sessions of the console, up to where the console takes over
//! * `moving`   sessions that move to another process
//! * `elsewhere` the other process, during an upgrade
//! * `switches` what an administrator has paused or disabled

pub(crate) mod arrive;
mod console;
mod context;
mod elsewhere;
mod greet;
mod metrics;
mod moving;
mod options;
mod registry;
mod relay;
mod revoke;
mod run;
mod seats;
mod serve;
mod switches;
mod traced;
mod waits;

pub use self::metrics::SessionMetrics;
pub use arrive::{Denials, Limiter, Refusal, Refusals, RuleSays, Why};
pub use console::{Console, Farewell, Visit};
pub use context::{Context, Routes, Tls};
pub use elsewhere::{Elsewhere, Other};
pub use moving::{Moved, VERSION as MOVED_VERSION, resume};
pub use options::{Guard, Reception, Revoke};
pub use registry::{
    ConsoleHandle, FrontendPid, Handle, Held, Overdue, Phase, Pin, Sessions, Signal, Sweep,
};
#[cfg(feature = "bench")]
pub use relay::bench;
#[cfg(any(test, fuzzing))]
pub(crate) use relay::fuzz;
pub use revoke::Cause;
pub use seats::{Seat, Seats};
pub use serve::{refuse_at_once, serve, turn_away};
pub use switches::{Switches, SwitchesSet};
