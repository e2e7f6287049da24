//! Values of PgBouncer's keys that become nothing, or something else: each of them is named.

use super::ini::Ini;

/// What the value of a key is.
#[derive(Clone, Copy)]
enum Value {
    Port,
    Number,
    /// In seconds or milliseconds. The words say what 0 means in PgBouncer, and what is here in
    /// its place; without any, 0 means the same.
    Time(&'static str),
    /// One of these words.
    Word(&'static [&'static str]),
}

use Value::{Number, Port, Time, Word};

const VALUES: &[(&str, Value)] = &[
    ("listen_port", Port),
    ("port", Port),
    ("max_client_conn", Number),
    ("default_pool_size", Number),
    ("pool_size", Number),
    ("min_pool_size", Number),
    ("reserve_pool", Number),
    ("reserve_pool_size", Number),
    ("max_db_connections", Number),
    ("max_db_client_connections", Number),
    ("max_user_client_connections", Number),
    ("tcp_keepcnt", Number),
    ("pool_mode", Word(&["session", "transaction", "statement"])),
    (
        "client_login_timeout",
        Time("there it is no limit; here the default stays, 15s"),
    ),
    (
        "server_lifetime",
        Time("there each connection is used once; here the default stays, 1h"),
    ),
    (
        "server_idle_timeout",
        Time("there idle connections stay; here they stay for a year"),
    ),
    (
        "server_connect_timeout",
        Time("there it is no limit; here the default stays, 15s"),
    ),
    ("query_wait_notify", Time("")),
    ("query_wait_timeout", Time("")),
    ("client_idle_timeout", Time("")),
    ("idle_transaction_timeout", Time("")),
    ("query_timeout", Time("")),
    ("reserve_pool_timeout", Time("")),
    ("server_check_delay", Time("")),
    ("tcp_keepidle", Time("")),
    ("tcp_keepintvl", Time("")),
    ("tcp_user_timeout", Time("")),
];

/// What there is to say of a value, if it becomes nothing or something else.
pub(super) fn doubtful(ini: &Ini, key: &str, value: &str) -> Option<String> {
    if key == "client_tls_sslmode" {
        let off = value == "disable" || ini.global("client_tls_cert_file").is_some();
        return (!off).then(|| "there is no client_tls_cert_file, so that TLS is off".to_owned());
    }
    let (_, kind) = VALUES.iter().find(|(known, _)| *known == key)?;
    let what = match kind {
        Port => match value.parse::<u16>() {
            Ok(1..) => return None,
            _ => "it is no port",
        },
        Number => match value.parse::<u64>() {
            Ok(_) => return None,
            Err(_) => "it is no number",
        },
        Time(zero) => match value.parse::<f64>() {
            // In a database, -1 says that it is not set.
            _ if value == "-1" => return None,
            Ok(time) if time > 0.0 && time.is_finite() => return None,
            Ok(time) if time >= 0.0 && time.is_finite() => {
                return (!zero.is_empty()).then(|| (*zero).to_owned());
            }
            _ => "it is no time",
        },
        Word(known) => match known.contains(&value) {
            true => return None,
            false => "there is no such mode",
        },
    };
    Some(format!("{what}, and the default is left"))
}
