//! What a client left on its server connection. pgvalet does not guess that from what the client
//! sent, but asks the server.

use std::collections::BTreeSet;

use crate::base::hex;
use crate::pool::{Lease, Settings, makes_temporary};
use crate::session::registry::Pin;
use crate::session::relay::{MAX_CHANNELS, Watch};
use crate::upstream::{QueryError, Rows};
use crate::wire::sql::{LIMITS, literal};

/// What a client left on its server connection.
pub(super) struct Left {
    /// Settings made at session level.
    pub settings: Settings,
    /// Time limits set by the client, which are not in force on the connection any more.
    pub limits: Settings,
    /// Channels that the connection listens on.
    pub channels: BTreeSet<Box<str>>,
    /// The kinds of state that cannot move to another connection by itself.
    pub pins: Vec<Pin>,
    /// The PREPARE statements that were run, as they were written.
    pub prepares: Vec<String>,
    /// The number of statements that were prepared by Parse.
    pub copies: usize,
}

impl Left {
    /// All settings of the client, time limits included.
    pub fn all_settings(&self) -> Settings {
        let mut all = self.settings.clone();
        all.extend(self.limits.iter().map(|(n, v)| (n.clone(), v.clone())));
        all
    }

    pub fn pin(&self) -> Option<Pin> {
        self.pins.first().copied()
    }
}

/// The longest value that is carried from one server connection to another, in bytes; with a
/// longer one, a client keeps its connection.
const MAX_VALUE: usize = 16 * 1024;

/// The bytes of all settings that are carried.
const MAX_SETTINGS: usize = 64 * 1024;

/// The number of PREPARE statements that are repeated on another server connection.
const MAX_PREPARES: usize = 64;

/// The question. Its columns are kind, name and value; time limits are asked for separately. Of
/// what can be without number, one more is asked for than is of use: a client must not fill the
/// memory of pgvalet with what it leaves.
fn parts() -> String {
    format!(
        "\
SELECT 'setting', s.name, s.setting FROM pg_catalog.pg_settings s \
WHERE s.source OPERATOR(pg_catalog.=) 'session' \
UNION ALL SELECT 'role', '', pg_catalog.current_setting('role') \
UNION ALL SELECT 'user', '', SESSION_USER::pg_catalog.text \
UNION ALL (SELECT 'listen', '', c FROM pg_catalog.pg_listening_channels() c LIMIT {channels}) \
UNION ALL (SELECT 'cursor', '', '' FROM pg_catalog.pg_cursors WHERE is_holdable LIMIT 1) \
UNION ALL (SELECT 'prepare', '', statement FROM pg_catalog.pg_prepared_statements \
WHERE from_sql LIMIT {prepares}) \
UNION ALL SELECT 'copies', '', pg_catalog.count(*)::pg_catalog.text \
FROM pg_catalog.pg_prepared_statements WHERE NOT from_sql \
UNION ALL (SELECT 'temp', '', '' FROM pg_catalog.pg_depend \
WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid \
AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() LIMIT 1) \
UNION ALL (SELECT 'slot', '', '' FROM pg_catalog.pg_replication_slots s \
WHERE s.temporary AND s.active_pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() LIMIT 1) \
UNION ALL (SELECT 'advisory', '', '' FROM pg_catalog.pg_locks \
WHERE locktype OPERATOR(pg_catalog.=) 'advisory' \
AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() LIMIT 1)",
        channels = MAX_CHANNELS + 1,
        prepares = MAX_PREPARES + 1,
    )
}

/// Asks for a function, a view or a default of this database that may make a setting of a custom
/// class (set_config has the number 2078 since Postgres 7.3, pg_proc.dat). Postgres tells the settings of custom classes only to those who know their names.
const SETTERS: &str = "\
SELECT p.oid FROM pg_catalog.pg_proc p, pg_catalog.pg_language l, pg_catalog.pg_namespace n \
WHERE l.oid OPERATOR(pg_catalog.=) p.prolang AND n.oid OPERATOR(pg_catalog.=) p.pronamespace \
AND l.lanname OPERATOR(pg_catalog.<>) ALL (ARRAY['internal', 'c']::pg_catalog.name[]) \
AND n.nspname OPERATOR(pg_catalog.<>) ALL (ARRAY['pg_catalog', 'information_schema']::pg_catalog.name[]) \
AND pg_catalog.lower(p.prosrc) OPERATOR(pg_catalog.~) 'set_config|set[[:space:]]+[a-z_\"]+[.]' \
UNION ALL SELECT r.oid FROM pg_catalog.pg_rewrite r WHERE pg_catalog.strpos(\
r.ev_action::pg_catalog.text, ':funcid 2078 ') OPERATOR(pg_catalog.>) 0 \
AND r.oid OPERATOR(pg_catalog.>=) 16384::pg_catalog.oid \
UNION ALL SELECT d.oid FROM pg_catalog.pg_attrdef d WHERE pg_catalog.strpos(\
d.adbin::pg_catalog.text, ':funcid 2078 ') OPERATOR(pg_catalog.>) 0 LIMIT 1";

/// Whether a session may have settings whose names pgvalet does not know.
pub(super) async fn has_setters(lease: &mut Lease) -> Result<bool, QueryError> {
    let rows = lease.ask(&[SETTERS]).await?;
    Ok(rows.iter().any(|rows| !rows.is_empty()))
}

/// How often the question is asked. A client may have set a time limit of a millisecond,
/// which now and then ends a query that takes less.
const ATTEMPTS: usize = 10;

/// Asks what the client left, and resets its time limits, so that neither pgvalet's own
/// questions nor the queries of the next client are ended by them.
pub(super) async fn ask(lease: &mut Lease, watch: &Watch) -> Result<Left, QueryError> {
    let mut attempt = 1;
    loop {
        match ask_once(lease, watch).await {
            // query_canceled, lock_not_available
            Err(QueryError::Refused(fields))
                if attempt < ATTEMPTS && matches!(&*fields.sqlstate, "57014" | "55P03") =>
            {
                attempt += 1;
            }
            result => return result,
        }
    }
}

async fn ask_once(lease: &mut Lease, watch: &Watch) -> Result<Left, QueryError> {
    let names = lease.limits();
    let each = |verb: &str| {
        let all: Vec<String> = names.iter().map(|name| format!("{verb} {name}")).collect();
        all.join("; ")
    };
    let (now, no_limits) = (each("SHOW"), lease.no_limits());
    let (question, encoded) = question(lease, watch);
    // The time limits that are in force without those of the client.
    let without = format!("{}; {now}", each("RESET"));
    let mut rows = lease.ask(&[&now, &no_limits, &question, &without]).await?;
    let (Some(without), Some(mut found), Some(_), Some(now)) =
        (rows.pop(), rows.pop(), rows.pop(), rows.pop())
    else {
        return Err(QueryError::Protocol);
    };
    if encoded {
        for text in found.iter_mut().flat_map(|row| row.iter_mut().skip(1)) {
            *text = unhex(text).ok_or(QueryError::Protocol)?;
        }
    }
    let mut left = read(lease, watch, found);
    for ((name, now), without) in names.iter().zip(&now).zip(&without) {
        let set = watch.limits.contains(*name) || lease.profile.settings().contains_key(*name);
        if (set || now != without)
            && let [now] = now.as_slice()
        {
            left.limits.insert((*name).into(), now.as_str().into());
        }
    }
    Ok(left)
}

/// The question, and whether the texts in its answer are encoded in hex. Settings of custom
/// classes are not in pg_settings and have to be asked for by name: those in the texts of the
/// session, and those of the profile that was set on the connection.
fn question(lease: &Lease, watch: &Watch) -> (String, bool) {
    let mut question = parts();
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
    // A value that is too long is left out, and its kind is marked.
    let long = format!("pg_catalog.octet_length(value) OPERATOR(pg_catalog.>) {MAX_VALUE}");
    let kind = format!("CASE WHEN {long} THEN 'long ' ELSE '' END OPERATOR(pg_catalog.||) kind");
    let (mut name, mut value) = (
        "name".to_owned(),
        format!("CASE WHEN {long} THEN '' ELSE value END"),
    );
    let encoded = !answers_in_utf8(lease);
    if encoded {
        for column in [&mut name, &mut value] {
            *column = format!("pg_catalog.encode(pg_catalog.convert_to({column}, 'UTF8'), 'hex')");
        }
    }
    let question =
        format!("SELECT {kind}, {name}, {value} FROM ({question}) AS q (kind, name, value)");
    (question, encoded)
}

fn read(lease: &Lease, watch: &Watch, rows: Rows) -> Left {
    let user = lease.generation.credential.username.clone();
    let mut left = Left {
        settings: Settings::new(),
        channels: BTreeSet::new(),
        limits: Settings::new(),
        pins: Vec::from_iter(
            [
                watch.hidden_setting.then_some(Pin::SetConfig),
                watch.holds.then_some(Pin::Connection),
            ]
            .into_iter()
            .flatten(),
        ),
        prepares: Vec::new(),
        copies: 0,
    };
    for row in rows {
        let [kind, name, value] = row.as_slice() else {
            continue;
        };
        let pin = match kind.as_str() {
            // transaction_* count as set in the transaction that asks, too, once anybody has
            // set them for any transaction (guc.c keeps their source).
            "setting" if LIMITS.contains(&name.as_str()) || name.starts_with("transaction_") => {
                None
            }
            "setting" => {
                left.settings
                    .insert(name.to_ascii_lowercase().into(), value.as_str().into());
                // All that the client makes from now on is temporary, and no question shows it.
                makes_temporary(name, value).then_some(Pin::Temp)
            }
            // A SET LOCAL leaves an empty value behind, which is as good as none.
            "custom" if !value.is_empty() => {
                left.settings
                    .insert(name.as_str().into(), value.as_str().into());
                None
            }
            "role" if **value != *lease.default_role => Some(Pin::Role),
            "slot" => Some(Pin::Connection),
            "user" if *value != user => Some(Pin::SessionAuthorization),
            "listen" => {
                left.channels.insert(value.as_str().into());
                None
            }
            "cursor" => Some(Pin::Cursor),
            "prepare" => {
                left.prepares.push(value.clone());
                Some(Pin::Prepare)
            }
            "long prepare" => {
                left.prepares.push(String::new()); // nothing that can be repeated
                Some(Pin::Prepare)
            }
            "long setting" | "long custom" => Some(Pin::SetConfig),
            "copies" => {
                left.copies = value.parse().unwrap_or(usize::MAX);
                None
            }
            "temp" => Some(Pin::Temp),
            "advisory" => Some(Pin::Advisory),
            _ => None,
        };
        left.pins.extend(pin);
    }
    let lengths = left
        .settings
        .iter()
        .map(|(name, value)| name.len() + value.len());
    if lengths.sum::<usize>() > MAX_SETTINGS {
        left.settings.clear();
        left.pins.push(Pin::SetConfig);
    }
    if left.prepares.len() > MAX_PREPARES {
        left.prepares = vec![String::new()];
    }
    left
}

/// Whether answers can be read as UTF-8, or come in another encoding of the client's.
/// (Postgres converts nothing to or from SQL_ASCII, which is no encoding.)
fn answers_in_utf8(lease: &Lease) -> bool {
    let encoding = |name| lease.reported().get(name).unwrap_or("UTF8");
    let (client, server) = (encoding("client_encoding"), encoding("server_encoding"));
    matches!(client, "UTF8" | "SQL_ASCII") || server == "SQL_ASCII"
}

fn unhex(text: &str) -> Option<String> {
    let bytes = hex::decode(text)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The settings that the client expects from now on: what it brought, overlaid with what it
/// set. A RESET thereby leads back to what it brought.
pub(super) fn expected(initial: &Settings, left: &Settings) -> Settings {
    let mut settings = initial.clone();
    settings.extend(left.iter().map(|(n, v)| (n.clone(), v.clone())));
    settings
}
