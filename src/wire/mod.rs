//! The PostgreSQL wire protocol, as far as a proxy needs it: start-up packets,
//! frame headers, and the few messages that pgvalet writes itself.
//!
//! It is written here because messages are inspected where they lie, without a copy or an
//! allocation. Upstream logins use the message types of `postgres-protocol`.
//!
//! * `answer`   results that pgvalet makes itself
//! * `error`    what a client may read when pgvalet refuses or fails it
//! * `frame`    headers of messages
//! * `login`    versions of the protocol, cancel keys, `login_failure` what a client may
//!   know of a failed one
//! * `message`  messages that pgvalet writes or reads itself
//! * `notice`   what pgvalet tells a client that waits
//! * `reference` a short name for an event
//! * `setting`  names of settings in a start-up packet
//! * `sql`      the words of SQL texts
//! * `startup`  the first packet of a connection
//! * `tag`      the bytes that say what a message is
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol".

pub mod answer;
pub mod error;
pub mod frame;
pub mod login;
mod login_failure;
pub mod message;
pub mod notice;
mod reference;
pub mod setting;
pub mod sql;
pub mod startup;
pub mod tag;

pub use error::{ClientError, SqlState};
pub use frame::{Frame, FrameError, HEADER};
pub use login::Version;
pub use login_failure::LoginFailure;
pub use notice::ClientNotice;
pub use reference::Reference;
pub use setting::{NotASetting, SettingName};
