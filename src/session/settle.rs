//! The end of a lease in transaction mode, when the client did something whose
//! effect may stay with the server connection. What it is, is not guessed: the
//! server is asked.

use crate::pool::{Lease, Settings};
use crate::upstream::CleanError;

/// What a client left on its server connection.
pub(super) struct Left {
    /// Settings made at session level.
    pub settings: Settings,
    /// State that cannot move to another connection, the first found.
    pub pin: Option<&'static str>,
}

/// Columns: kind, name, value. Settings of custom classes that no loaded
/// module knows are not in pg_settings.
const QUESTION: &str = "\
SELECT 'setting', name, setting FROM pg_catalog.pg_settings WHERE source = 'session' \
UNION ALL SELECT 'role', '', pg_catalog.current_setting('role') \
UNION ALL SELECT 'user', '', session_user::text \
UNION ALL SELECT 'listen', '', c FROM pg_catalog.pg_listening_channels() c \
UNION ALL SELECT 'cursor', '', name FROM pg_catalog.pg_cursors WHERE is_holdable \
UNION ALL SELECT 'prepare', '', name FROM pg_catalog.pg_prepared_statements WHERE from_sql";

pub(super) async fn ask(lease: &mut Lease) -> Result<Left, CleanError> {
    lease.prepared.unnamed = None; // a simple query drops it
    let rows = lease.server.ask(QUESTION).await?;
    let user = lease.generation.credential.username.clone();
    let mut left = Left {
        settings: Settings::new(),
        pin: None,
    };
    for row in rows {
        let [kind, name, value] = row.as_slice() else {
            continue;
        };
        let pin = match kind.as_str() {
            "setting" => {
                left.settings
                    .insert(name.to_ascii_lowercase().into(), value.as_str().into());
                None
            }
            "role" if value != "none" => Some("role"),
            "user" if *value != user => Some("session_authorization"),
            "listen" => Some("listen"),
            "cursor" => Some("cursor"),
            "prepare" => Some("prepare"),
            _ => None,
        };
        left.pin = left.pin.or(pin);
    }
    Ok(left)
}

/// What the client expects from now on: what it brought, overlaid with what it
/// set. A RESET thereby leads back to what it brought.
pub(super) fn expected(initial: &Settings, left: &Settings) -> Settings {
    let mut settings = initial.clone();
    settings.extend(left.iter().map(|(n, v)| (n.clone(), v.clone())));
    settings
}

/// How often a pinned client's connection is asked whether it is free again.
pub(super) const ASK_PINNED: std::time::Duration = std::time::Duration::from_secs(1);
