//! Settings of Postgres that clients make and look at. In the console they change nothing.

/// The version of Postgres whose protocol and manners the console has.
pub const SERVER_VERSION: &str = concat!("14.0 (pgvalet ", env!("CARGO_PKG_VERSION"), ")");

/// Settings that clients make and look at, with the values that hold in the console.
const SETTINGS: &[(&str, &str)] = &[
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, MDY"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "0"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("names", "UTF8"),
    ("row_security", "on"),
    ("search_path", ""),
    ("server_encoding", "UTF8"),
    ("server_version", SERVER_VERSION),
    ("server_version_num", "140000"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("synchronous_commit", "on"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "off"),
];

/// Values that clients are told at their login.
pub const REPORTED: [&str; 9] = [
    "server_version",
    "server_encoding",
    "client_encoding",
    "datestyle",
    "integer_datetimes",
    "intervalstyle",
    "standard_conforming_strings",
    "timezone",
    "in_hot_standby",
];

/// Names as ParameterStatus writes them.
pub fn spelling(name: &str) -> &str {
    match name {
        "datestyle" => "DateStyle",
        "intervalstyle" => "IntervalStyle",
        "timezone" => "TimeZone",
        other => other,
    }
}

pub fn value_of(setting: &str) -> Option<&'static str> {
    let found = SETTINGS
        .iter()
        .find(|(name, _)| setting.eq_ignore_ascii_case(name));
    found.map(|(_, value)| *value)
}
