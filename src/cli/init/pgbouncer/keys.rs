//! Every key of PgBouncer 1.25, and what becomes of it. `pgvalet init` says it, and
//! docs/FROM-PGBOUNCER.md is printed from it.

/// A key of PgBouncer.
pub struct Key {
    /// The section that it stands in.
    pub section: &'static str,
    pub name: &'static str,
    pub becomes: Becomes,
}

/// What becomes of a key.
pub enum Becomes {
    /// A key of ours.
    Ours {
        /// The table and the key, for people.
        key: &'static str,
        /// A value in PgBouncer's file, and the line that it becomes.
        example: (&'static str, &'static str),
        /// What else there is to say.
        note: &'static str,
    },
    /// Nothing: why, or what does it instead.
    Nothing(&'static str),
}

use Becomes::{Nothing, Ours};

const fn ours(
    section: &'static str,
    name: &'static str,
    key: &'static str,
    example: (&'static str, &'static str),
    note: &'static str,
) -> Key {
    let becomes = Ours { key, example, note };
    Key {
        section,
        name,
        becomes,
    }
}

const fn none(section: &'static str, name: &'static str, why: &'static str) -> Key {
    Key {
        section,
        name,
        becomes: Nothing(why),
    }
}

pub(super) const G: &str = "pgbouncer";
pub(super) const D: &str = "databases";
pub(super) const U: &str = "users";
pub(super) const P: &str = "peers";

const NO_PASSWORDS: &str =
    "clients have no password; a `[[client]]` rule says how they are recognised";
const CIPHERS: &str = "only what is safe is offered, and that is not configured";
const DNS: &str = "the system's resolver is asked at each login";
const LOG: &str =
    "the log goes to standard error, for journald or a container; `PGVALET_LOG` says how much";
const SESSIONS: &str = "the audit log has a record of each session and each server connection";
const RESET: &str = "DISCARD ALL is sent where it is needed, also between clients of different rules (`reset_between_clients`)";
const FIXED: &str = "it needs no setting";
const ROLE: &str =
    "`ALTER ROLE … IN DATABASE … SET` on the server; what a client sets itself is kept for it";
const PER_DATABASE: &str =
    "it belongs to the database: make a `[database.NAME]` of its own for these clients";
const PEERS: &str = "one process uses all processors, and passes cancel requests on by itself";

pub static KEYS: &[Key] = &[
    ours(
        G,
        "admin_users",
        "`[[client]] admin = true`, `users`",
        ("dba", "admin = true"),
        "the console has the names `pgvalet` and `pgbouncer`",
    ),
    ours(
        G,
        "application_name_add_host",
        "`[database.NAME] application_name`",
        ("1", "application_name = \"{application_name} [{client}]\""),
        "it adds the name of the rule; the address is in `SHOW CLIENTS` and the audit log",
    ),
    none(G, "auth_dbname", NO_PASSWORDS),
    ours(
        G,
        "auth_file",
        "`[[client]]` and secrets",
        ("userlist.txt", "[[client]]"),
        "each user becomes a rule with `users`; a password becomes a secret. A verifier (md5, SCRAM) is no password: put the password into the store",
    ),
    ours(
        G,
        "auth_hba_file",
        "`[[client]] network`, `users`, `databases`",
        ("hba.conf", "network = [\"10.7.0.0/16\"]"),
        "with `auth_type = hba`; the networks of its lines. What a rule cannot say is named with the line: `reject`, unix sockets, every address",
    ),
    none(
        G,
        "auth_ident_file",
        "`[[client]] unix_user` and `loopback_user` recognise local users",
    ),
    none(G, "auth_ldap_options", NO_PASSWORDS),
    none(G, "auth_query", NO_PASSWORDS),
    none(G, "auth_type", NO_PASSWORDS),
    none(G, "auth_user", NO_PASSWORDS),
    none(
        G,
        "autodb_idle_timeout",
        "there is no database `*`: each one is written",
    ),
    none(
        G,
        "cancel_wait_timeout",
        "a cancel request does not wait for a connection of the pool",
    ),
    ours(
        G,
        "client_idle_timeout",
        "`[database.NAME] client_idle_timeout`",
        ("600", "client_idle_timeout = \"10m\""),
        "",
    ),
    ours(
        G,
        "client_login_timeout",
        "`[listen] handshake_timeout`",
        ("30", "handshake_timeout = \"30s\""),
        "",
    ),
    none(G, "client_tls13_ciphers", CIPHERS),
    ours(
        G,
        "client_tls_ca_file",
        "`[listen] client_ca`",
        ("/etc/ca.crt", "client_ca = \"/etc/ca.crt\""),
        "with `client_tls_cert_file`",
    ),
    ours(
        G,
        "client_tls_cert_file",
        "`[listen] certificate`",
        ("/etc/tls.crt", "certificate = \"/etc/tls.crt\""),
        "with `client_tls_key_file`",
    ),
    none(G, "client_tls_ciphers", CIPHERS),
    none(G, "client_tls_dheparams", CIPHERS),
    none(G, "client_tls_ecdhcurve", CIPHERS),
    ours(
        G,
        "client_tls_key_file",
        "`[listen] key`",
        ("/etc/tls.key", "key = \"/etc/tls.key\""),
        "with `client_tls_cert_file`",
    ),
    none(G, "client_tls_protocols", "TLS 1.2 and 1.3 are spoken"),
    ours(
        G,
        "client_tls_sslmode",
        "`[listen] tls`",
        ("require", "tls = \"require\""),
        "`verify-ca` and `verify-full` become `require`: rules with `certificate` ask for certificates",
    ),
    none(G, "conffile", "`--config`, `PGVALET_CONFIG`"),
    ours(
        G,
        "default_pool_size",
        "`[database.NAME] pool_size`",
        ("30", "pool_size = 30"),
        "a pool is one database with one secret, whoever its clients are",
    ),
    none(
        G,
        "disable_pqexec",
        "rules and roles say what clients may do, not the protocol",
    ),
    none(G, "dns_max_ttl", DNS),
    none(G, "dns_nxdomain_ttl", DNS),
    none(G, "dns_zone_check_period", DNS),
    ours(
        G,
        "idle_transaction_timeout",
        "`[database.NAME] idle_transaction_timeout`",
        ("90", "idle_transaction_timeout = \"90s\""),
        "",
    ),
    none(
        G,
        "ignore_startup_parameters",
        "what a client sets at its start is set on its server connection",
    ),
    none(
        G,
        "job_name",
        "systemd and the audit log (`proxy`) name the process",
    ),
    ours(
        G,
        "listen_addr",
        "`[listen] address`",
        ("127.0.0.2", "address = [\"127.0.0.2:6432\"]"),
        "`*` becomes `0.0.0.0`",
    ),
    none(G, "listen_backlog", FIXED),
    ours(
        G,
        "listen_port",
        "`[listen] address`",
        ("6444", "address = [\"127.0.0.1:6444\"]"),
        "",
    ),
    none(G, "log_connections", SESSIONS),
    none(G, "log_disconnections", SESSIONS),
    none(
        G,
        "log_pooler_errors",
        "each refusal has a line in the log, a record and a ref (`pgvalet explain --ref`)",
    ),
    none(G, "log_stats", "`/metrics` has them for Prometheus"),
    none(G, "logfile", LOG),
    ours(
        G,
        "max_client_conn",
        "`[listen] max_clients`",
        ("500", "max_clients = 500"),
        "",
    ),
    ours(
        G,
        "max_db_client_connections",
        "`[database.NAME] max_clients`",
        ("70", "max_clients = 70"),
        "",
    ),
    ours(
        G,
        "max_db_connections",
        "`[database.NAME] pool_size`",
        ("15", "pool_size = 15"),
        "`pool_size` is a ceiling; the smaller of both is taken",
    ),
    none(
        G,
        "max_packet_size",
        "messages are passed on in pieces, so that their length does not matter",
    ),
    none(
        G,
        "max_prepared_statements",
        "prepared statements of the protocol work in every mode",
    ),
    ours(
        G,
        "max_user_client_connections",
        "`[[client]] max_clients`",
        ("8", "max_clients = 8"),
        "",
    ),
    ours(
        G,
        "max_user_connections",
        "`[[client]] pool_size`",
        ("4", "pool_size = 4"),
        "",
    ),
    ours(
        G,
        "min_pool_size",
        "`[database.NAME] min_pool_size`",
        ("2", "min_pool_size = 2"),
        "",
    ),
    none(G, "peer_id", PEERS),
    none(
        G,
        "pidfile",
        "systemd knows it; so does `pgvalet status --json`",
    ),
    none(G, "pkt_buf", FIXED),
    ours(
        G,
        "pool_mode",
        "`[database.NAME] pool_mode`",
        ("session", "pool_mode = \"session\""),
        "PgBouncer's default is `session`, pgvalet's is `transaction`: it is written either way",
    ),
    ours(
        G,
        "query_timeout",
        "`[database.NAME] query_timeout`",
        ("60", "query_timeout = \"1m\""),
        "",
    ),
    ours(
        G,
        "query_wait_notify",
        "`[listen] wait_notice`",
        ("3", "wait_notice = \"3s\""),
        "",
    ),
    ours(
        G,
        "query_wait_timeout",
        "`[database.NAME] pool_wait_timeout`",
        ("20", "pool_wait_timeout = \"20s\""),
        "0, which is for ever, becomes a day",
    ),
    ours(
        G,
        "reserve_pool_size",
        "`[database.NAME] reserve_pool_size`",
        ("3", "reserve_pool_size = 3"),
        "",
    ),
    ours(
        G,
        "reserve_pool_timeout",
        "`[database.NAME] reserve_pool_timeout`",
        ("7", "reserve_pool_timeout = \"7s\""),
        "",
    ),
    none(G, "resolv_conf", DNS),
    none(G, "sbuf_loopcnt", FIXED),
    none(G, "scram_iterations", NO_PASSWORDS),
    ours(
        G,
        "server_check_delay",
        "`[database.NAME] server_check_delay`",
        ("10", "server_check_delay = \"10s\""),
        "",
    ),
    none(
        G,
        "server_check_query",
        "a connection that was idle is asked a question of pgvalet's own",
    ),
    ours(
        G,
        "server_connect_timeout",
        "`[database.NAME] connect_timeout`",
        ("5", "connect_timeout = \"5s\""),
        "",
    ),
    none(
        G,
        "server_fast_close",
        "`RECONNECT` closes each connection as soon as nobody holds it",
    ),
    ours(
        G,
        "server_idle_timeout",
        "`[database.NAME] server_idle_timeout`",
        ("300", "server_idle_timeout = \"5m\""),
        "0 has no counterpart; the default is used",
    ),
    ours(
        G,
        "server_lifetime",
        "`[database.NAME] server_lifetime`",
        ("1800", "server_lifetime = \"30m\""),
        "0 has no counterpart; the default is used",
    ),
    none(
        G,
        "server_login_retry",
        "attempts follow each other after 0.1 to 2 seconds, one at a time",
    ),
    none(G, "server_reset_query", RESET),
    none(G, "server_reset_query_always", RESET),
    none(
        G,
        "server_round_robin",
        "the connection that was used last is used first, so that the others may be closed",
    ),
    none(G, "server_tls13_ciphers", CIPHERS),
    ours(
        G,
        "server_tls_ca_file",
        "`[database.NAME] tls_ca`",
        ("/etc/ca.pem", "tls_ca = \"/etc/ca.pem\""),
        "with `verify-ca` or `verify-full`",
    ),
    ours(
        G,
        "server_tls_cert_file",
        "`[database.NAME] tls_certificate`",
        ("/etc/c.pem", "tls_certificate = \"/etc/c.pem\""),
        "with `server_tls_key_file`",
    ),
    none(G, "server_tls_ciphers", CIPHERS),
    ours(
        G,
        "server_tls_key_file",
        "`[database.NAME] tls_key`",
        ("/etc/c.key", "tls_key = \"/etc/c.key\""),
        "with `server_tls_cert_file`",
    ),
    ours(
        G,
        "server_tls_protocols",
        "`[database.NAME] tls_min_version`",
        ("tlsv1.3", "tls_min_version = \"TLSv1.3\""),
        "",
    ),
    ours(
        G,
        "server_tls_sslmode",
        "`[database.NAME] tls`",
        ("verify-full", "tls = \"verify-full\""),
        "`prefer` and `allow` become `require`, except on loopback: anybody on the way could take TLS away",
    ),
    ours(
        G,
        "so_reuseport",
        "`[listen] reuse_port`",
        ("1", "reuse_port = true"),
        "one process uses all processors, so that it is for other reasons only",
    ),
    none(G, "stats_period", "averages are of one to two minutes"),
    ours(
        G,
        "stats_users",
        "`[[client]] admin = \"read\"`, `users`",
        ("watcher", "admin = \"read\""),
        "",
    ),
    none(
        G,
        "suspend_timeout",
        "there is no SUSPEND; `PAUSE` waits for transactions",
    ),
    none(G, "syslog", LOG),
    none(G, "syslog_facility", LOG),
    none(G, "syslog_ident", LOG),
    none(G, "tcp_defer_accept", FIXED),
    ours(
        G,
        "tcp_keepalive",
        "`[database.NAME] keepalives`",
        ("0", "keepalives = false"),
        "",
    ),
    ours(
        G,
        "tcp_keepcnt",
        "`[database.NAME] keepalives_count`",
        ("5", "keepalives_count = 5"),
        "",
    ),
    ours(
        G,
        "tcp_keepidle",
        "`[database.NAME] keepalives_idle`",
        ("50", "keepalives_idle = \"50s\""),
        "",
    ),
    ours(
        G,
        "tcp_keepintvl",
        "`[database.NAME] keepalives_interval`",
        ("20", "keepalives_interval = \"20s\""),
        "",
    ),
    none(G, "tcp_socket_buffer", FIXED),
    ours(
        G,
        "tcp_user_timeout",
        "`[database.NAME] tcp_user_timeout`",
        ("4000", "tcp_user_timeout = \"4s\""),
        "PgBouncer counts milliseconds",
    ),
    none(
        G,
        "track_extra_parameters",
        "every parameter that a client sets goes with it",
    ),
    none(
        G,
        "transaction_timeout",
        "Postgres 17 has `transaction_timeout` itself: `ALTER ROLE … SET`",
    ),
    ours(
        G,
        "unix_socket_dir",
        "`[listen] address`",
        (
            "/run/pooler",
            "address = [\"127.0.0.1:6432\", \"unix:/run/pooler\"]",
        ),
        "rules with `unix_user` recognise the users of sockets",
    ),
    ours(
        G,
        "unix_socket_group",
        "`[listen] socket_group`",
        ("pool", "socket_group = \"pool\""),
        "",
    ),
    ours(
        G,
        "unix_socket_mode",
        "`[listen] socket_mode`",
        ("0770", "socket_mode = \"0770\""),
        "",
    ),
    ours(
        G,
        "user",
        "`[listen] user`",
        ("pooler", "user = \"pooler\""),
        "",
    ),
    none(G, "verbose", LOG),
    none(
        D,
        "application_name",
        "`[database.NAME] application_name` is what the server is shown in place of the client's own",
    ),
    none(D, "auth_dbname", NO_PASSWORDS),
    none(D, "auth_query", NO_PASSWORDS),
    none(D, "auth_user", NO_PASSWORDS),
    none(D, "client_encoding", ROLE),
    none(D, "connect_query", ROLE),
    none(D, "datestyle", ROLE),
    ours(
        D,
        "dbname",
        "`[database.NAME] dbname`",
        ("other", "dbname = \"other\""),
        "",
    ),
    ours(
        D,
        "host",
        "`[database.NAME] host`",
        ("db1,db2", "host = [\"db1\", \"db2\"]"),
        "the first that answers is used (`target_session_attrs`)",
    ),
    none(
        D,
        "load_balance_hosts",
        "hosts are tried in their order; a name with several addresses is one host",
    ),
    ours(
        D,
        "max_db_client_connections",
        "`[database.NAME] max_clients`",
        ("71", "max_clients = 71"),
        "",
    ),
    ours(
        D,
        "max_db_connections",
        "`[database.NAME] pool_size`",
        ("14", "pool_size = 14"),
        "as above",
    ),
    ours(
        D,
        "min_pool_size",
        "`[database.NAME] min_pool_size`",
        ("1", "min_pool_size = 1"),
        "",
    ),
    ours(
        D,
        "password",
        "a secret",
        ("secret", "secret = \"app\""),
        "it goes into the store",
    ),
    ours(
        D,
        "pool_mode",
        "`[database.NAME] pool_mode`",
        ("statement", "pool_mode = \"statement\""),
        "",
    ),
    ours(
        D,
        "pool_size",
        "`[database.NAME] pool_size`",
        ("9", "pool_size = 9"),
        "",
    ),
    ours(
        D,
        "port",
        "`[database.NAME] port`",
        ("5433", "port = 5433"),
        "",
    ),
    ours(
        D,
        "query_wait_timeout",
        "`[database.NAME] pool_wait_timeout`",
        ("25", "pool_wait_timeout = \"25s\""),
        "newer than 1.25; 0, which is for ever, becomes a day",
    ),
    ours(
        D,
        "reserve_pool",
        "`[database.NAME] reserve_pool_size`",
        ("6", "reserve_pool_size = 6"),
        "the older name of `reserve_pool_size`",
    ),
    ours(
        D,
        "reserve_pool_size",
        "`[database.NAME] reserve_pool_size`",
        ("5", "reserve_pool_size = 5"),
        "",
    ),
    ours(
        D,
        "server_lifetime",
        "`[database.NAME] server_lifetime`",
        ("900", "server_lifetime = \"15m\""),
        "",
    ),
    ours(
        D,
        "target_session_attrs",
        "`[database.NAME] target_session_attrs`",
        ("read-only", "target_session_attrs = \"read-only\""),
        "newer than 1.25; `primary` becomes `read-write`, and `standby` `read-only`",
    ),
    none(D, "timezone", ROLE),
    ours(
        D,
        "user",
        "a secret",
        ("owner", "secret = \"app\""),
        "the user with whom pgvalet logs in, whoever the client is",
    ),
    none(U, "client_idle_timeout", PER_DATABASE),
    none(U, "idle_transaction_timeout", PER_DATABASE),
    ours(
        U,
        "max_user_client_connections",
        "`[[client]] max_clients`",
        ("11", "max_clients = 11"),
        "",
    ),
    ours(
        U,
        "max_user_connections",
        "`[[client]] pool_size`",
        ("12", "pool_size = 12"),
        "",
    ),
    none(U, "pool_mode", PER_DATABASE),
    ours(
        U,
        "pool_size",
        "`[[client]] pool_size`",
        ("13", "pool_size = 13"),
        "what its clients may hold of the pool",
    ),
    none(U, "query_timeout", PER_DATABASE),
    none(U, "query_wait_timeout", PER_DATABASE),
    none(U, "reserve_pool_size", PER_DATABASE),
    none(U, "transaction_timeout", PER_DATABASE),
    none(P, "host", PEERS),
    none(P, "pool_size", PEERS),
    none(P, "port", PEERS),
];

/// The definition of a key.
pub fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.section == section && k.name == name)
}
