//! What pgvalet tells a client that waits: like the errors in `error`, an allow-list.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{ClientError, message};
use crate::base::duration;

/// A notice for a client that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientNotice {
    /// The server does not let anybody in. `cause`: what the client is told if that
    /// lasts for longer than it waits, which is `limit` at most.
    ServerDown { cause: ClientError, limit: Duration },
    /// An administrator has paused the database.
    Paused(Arc<str>),
    /// No version of the secret is known that logs in.
    NoVersion {
        database: Arc<str>,
        secret: Arc<str>,
    },
    /// The client waits for others to give a connection back. `most`: how many there may be.
    Busy { database: Arc<str>, most: usize },
}

impl fmt::Display for ClientNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerDown { cause, limit } => {
                let limit = duration::format(*limit);
                write!(f, "{cause}; waiting for it for up to {limit}")
            }
            Self::Paused(database) => {
                write!(
                    f,
                    "database \"{database}\" is paused; waiting for it to be resumed"
                )
            }
            Self::NoVersion { database, secret } => write!(
                f,
                "waiting for a version of secret \"{secret}\" that logs in to database \"{database}\""
            ),
            Self::Busy { database, most } => write!(
                f,
                "waiting for one of at most {most} server connections to database \"{database}\""
            ),
        }
    }
}

impl ClientNotice {
    /// Writes NoticeResponse.
    pub fn write(&self, out: &mut Vec<u8>) {
        let hint = match self {
            Self::ServerDown { cause, .. } => cause.hint(),
            Self::Paused(_) | Self::NoVersion { .. } | Self::Busy { .. } => None,
        };
        message::notice_response(out, SUCCESS, &self.to_string(), hint);
    }
}

/// The SQLSTATE of a notice (successful_completion).
const SUCCESS: &str = "00000";

/// The setting that says which messages a client gets.
pub const MIN_MESSAGES: &str = "client_min_messages";

/// The levels of client_min_messages at which Postgres sends no notices.
const ABOVE_NOTICE: [&str; 4] = ["warning", "error", "fatal", "panic"];

/// Whether a client whose client_min_messages has this value gets notices.
pub fn gets_notices(client_min_messages: Option<&str>) -> bool {
    let level = client_min_messages.unwrap_or("notice").trim();
    !ABOVE_NOTICE
        .iter()
        .any(|above| level.eq_ignore_ascii_case(above))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::LoginFailure;

    #[test]
    fn a_notice_says_what_is_waited_for_and_how_long() {
        let notice = ClientNotice::ServerDown {
            cause: ClientError::Login {
                database: Arc::from("orders"),
                failure: LoginFailure::Unreachable,
            },
            limit: Duration::from_secs(120),
        };
        assert_eq!(
            notice.to_string(),
            "the server of database \"orders\" cannot be reached; waiting for it for up to 2m"
        );
        let mut out = Vec::new();
        notice.write(&mut out);
        assert_eq!(out[0], b'N');
    }

    #[test]
    fn client_min_messages_is_kept() {
        for level in [None, Some("notice"), Some("debug1"), Some("log")] {
            assert!(gets_notices(level), "{level:?}");
        }
        for level in ["warning", "WARNING", "error"] {
            assert!(!gets_notices(Some(level)), "{level}");
        }
    }
}
