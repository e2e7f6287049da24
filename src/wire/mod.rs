//! The PostgreSQL wire protocol, as far as a proxy needs it: start-up packets,
//! frame headers, and the few messages it writes itself. Upstream logins use
//! the message types of `postgres-protocol`.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol".

pub mod error;
pub mod frame;
pub mod login;
pub mod message;
pub mod setting;
pub mod sql;
pub mod startup;
pub mod tag;

pub use error::{ClientError, SqlState};
pub use frame::{Frame, FrameError, HEADER};
pub use login::Version;
pub use setting::{NotASetting, SettingName};
