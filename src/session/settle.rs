//! The end of a lease in transaction mode, when the client did something whose
//! effect may stay with the server connection. What it is, is not guessed: the
//! server is asked.

use std::collections::BTreeSet;

use super::frontend::Watch;
use crate::pool::{Lease, Settings, literal, makes_temporary};
use crate::upstream::CleanError;

/// What a client left on its server connection.
pub(super) struct Left {
    /// Settings made at session level.
    pub settings: Settings,
    /// Channels it listens on.
    pub channels: BTreeSet<Box<str>>,
    /// State that cannot move to another connection by itself: what kinds of
    /// it there are.
    pub pins: Vec<&'static str>,
    /// Statements prepared by PREPARE, as they were written.
    pub prepares: Vec<String>,
}

impl Left {
    pub fn pin(&self) -> Option<&'static str> {
        self.pins.first().copied()
    }
}

/// Columns: kind, name, value.
const QUESTION: &str = "\
SELECT 'setting', name, setting FROM pg_catalog.pg_settings WHERE source = 'session' \
UNION ALL SELECT 'role', '', pg_catalog.current_setting('role') \
UNION ALL SELECT 'user', '', session_user::text \
UNION ALL SELECT 'listen', '', c FROM pg_catalog.pg_listening_channels() c \
UNION ALL SELECT 'cursor', '', name FROM pg_catalog.pg_cursors WHERE is_holdable \
UNION ALL SELECT 'prepare', '', statement FROM pg_catalog.pg_prepared_statements WHERE from_sql \
UNION ALL (SELECT 'temp', '', '' FROM pg_catalog.pg_depend \
WHERE refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass \
AND refobjid = pg_catalog.pg_my_temp_schema() LIMIT 1) \
UNION ALL (SELECT 'advisory', '', '' FROM pg_catalog.pg_locks \
WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() LIMIT 1)";

/// Asks what there is. Settings of custom classes are not in pg_settings and
/// have to be asked for by name: those in the texts of the session, and those
/// of the profile that was set on the connection.
pub(super) async fn ask(lease: &mut Lease, watch: &Watch) -> Result<Left, CleanError> {
    let mut question = QUESTION.to_owned();
    let mut custom = watch.custom.clone();
    let known = lease
        .profile
        .settings()
        .keys()
        .filter(|name| name.contains('.'));
    custom.extend(known.cloned());
    for name in &custom {
        let literal = literal(name);
        question.push_str(&format!(
            " UNION ALL SELECT 'custom', {literal}, pg_catalog.current_setting({literal}, true)"
        ));
    }
    let other = answers_otherwise(lease);
    if other {
        let utf8 =
            |column| format!("pg_catalog.encode(pg_catalog.convert_to({column}, 'UTF8'), 'hex')");
        let (name, value) = (utf8("name"), utf8("value"));
        question =
            format!("SELECT kind, {name}, {value} FROM ({question}) AS q (kind, name, value)");
    }
    lease.prepared.unnamed = None; // a simple query drops it
    let mut rows = lease.server.ask(&question).await?;
    if other {
        for text in rows.iter_mut().flat_map(|row| row.iter_mut().skip(1)) {
            *text = unhex(text).ok_or(CleanError::Protocol)?;
        }
    }
    let user = lease.generation.credential.username.clone();
    let mut left = Left {
        settings: Settings::new(),
        channels: BTreeSet::new(),
        pins: Vec::from_iter(watch.hidden_setting.then_some("set_config")),
        prepares: Vec::new(),
    };
    for row in rows {
        let [kind, name, value] = row.as_slice() else {
            continue;
        };
        let pin = match kind.as_str() {
            "setting" => {
                left.settings
                    .insert(name.to_ascii_lowercase().into(), value.as_str().into());
                // Whatever it makes from now on is temporary, and nobody asks.
                makes_temporary(name, value).then_some("temp")
            }
            // Empty is what is left of a SET LOCAL, and as good as not set.
            "custom" if !value.is_empty() => {
                left.settings
                    .insert(name.as_str().into(), value.as_str().into());
                None
            }
            "role" if value != "none" => Some("role"),
            "user" if *value != user => Some("session_authorization"),
            "listen" => {
                left.channels.insert(value.as_str().into());
                None
            }
            "cursor" => Some("cursor"),
            "prepare" => {
                left.prepares.push(value.clone());
                Some("prepare")
            }
            "temp" => Some("temp"),
            "advisory" => Some("advisory"),
            _ => None,
        };
        left.pins.extend(pin);
    }
    Ok(left)
}

/// Whether answers come in another encoding than UTF-8, the client's. (Nothing is
/// converted to or from SQL_ASCII, which is none.)
fn answers_otherwise(lease: &Lease) -> bool {
    let encoding = |name| lease.server.reported.get(name).map_or("UTF8", |e| &**e);
    let (client, server) = (encoding("client_encoding"), encoding("server_encoding"));
    !matches!(client, "UTF8" | "SQL_ASCII") && server != "SQL_ASCII"
}

fn unhex(text: &str) -> Option<String> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
    Some(String::from_utf8_lossy(&bytes?).into_owned())
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
