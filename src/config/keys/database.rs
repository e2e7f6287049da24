//! The keys of `[database.NAME]`.

use super::Default::{Absent, Required, Value};
use super::Effect::{AtOnce, Drain, NewSessions};
use super::Kind::{Boolean, List, Number, Text, Words};
use super::{ANY_CONNECTIONS, CONNECTIONS, COUNT, FILE, Key, NONE, SECONDS, SOME, Table};

const CREDENTIALS: &str = "credentials belong in the secret: pgvalet secret create NAME";

pub(super) static DATABASE: Table = Table {
    title: "[database.NAME]",
    about: "\
A database that clients may ask for by this name, the secret to log in with, and the pool of its server \
connections, which goes on in a reload. A new `host` or `tls`, and what else belongs to a login, is proved with one login \
before it is in force. \
The names of users and passwords belong in the secret.",
    keys: &[
        Key::new(
            "secret",
            Text("secret name or ARN"),
            Required, Drain,
            "The secret whose versions pgvalet logs in with. Another secret is another pool, which no login proves first: sessions of the one before end between transactions (57P01), as `[listen] revoke` says.",
        )
        .like(r#""prod/orders""#),
        Key::new(
            "host",
            List("`host`, `host:port` or directories of unix sockets"),
            Absent("from the secret"), Drain,
            "The server. Several are tried in this order at every login, and their names looked up anew; `\"db1:5432,db2\"` is such a list too. Set here, it wins over the secret.",
        )
        .like(r#"["db1:5432", "db2"]"#),
        Key::new(
            "port",
            Number(1, 65_535),
            Absent("from the secret, else 5432"), Drain,
            "The port of a host that is written without one. Set here, it wins over the secret.",
        )
        .like("5432"),
        Key::new(
            "dbname",
            Text("name"),
            Absent("from the secret, else NAME"), Drain,
            "The name of the database on the server. Set here, it wins over the secret.",
        )
        .like(r#""orders""#),
        Key::new(
            "target_session_attrs",
            Words(&["any", "read-write", "read-only", "prefer-standby"]),
            Value(r#""any""#), Drain,
            "Which of several servers is wanted. A promotion is followed.",
        ),
        Key::new(
            "tls",
            Words(&["verify-full", "verify-ca", "require", "disable"]),
            Absent("`\"disable\"` for loopback and unix-socket hosts, else `\"verify-full\"`"), Drain,
            "TLS to the server. There is no `prefer`, because anyone on the path can strip it.",
        )
        .like(r#""verify-full""#),
        Key::new(
            "tls_ca",
            FILE,
            Absent("the roots of the system"), Drain,
            "The authorities that a server certificate has to come from, PEM; a certificate that stands here itself is accepted too. The file is read again when it changes.",
        )
        .like(r#""ca.pem""#),
        Key::new(
            "tls_crl",
            List("files"),
            Absent("no list"), Drain,
            "Revocation lists, PEM: then one of every authority in the server's chain has to be there and in time. The files are read again when they change.",
        )
        .like(r#"["ca.crl"]"#),
        Key::new(
            "tls_min_version",
            Words(&["TLSv1.2", "TLSv1.3"]),
            Value(r#""TLSv1.2""#), Drain,
            "The oldest version of TLS that is spoken with the server.",
        ),
        Key::new(
            "tls_certificate",
            FILE,
            Absent("none"), Drain,
            "The certificate that pgvalet shows to the server, PEM. A login by certificate needs no password, and a verified server.",
        )
        .like(r#""client.pem""#),
        Key::new(
            "tls_key",
            FILE,
            Absent("none"), Drain,
            "The private key of `tls_certificate`, PEM. It may be encrypted (PKCS #8).",
        )
        .like(r#""client.key""#),
        Key::new(
            "tls_key_password_file",
            FILE,
            Absent("the key is not encrypted"), Drain,
            "The file that holds the password of `tls_key`. Not everybody may be able to read it.",
        )
        .like(r#""client.key.password""#),
        Key::new(
            "channel_binding",
            Words(&["prefer", "require"]),
            Value(r#""prefer""#), Drain,
            "`require`: SCRAM-SHA-256-PLUS or no login.",
        ),
        Key::new(
            "min_scram_iterations",
            Number(1, 10_000_000),
            Value("4096"), Drain,
            "Servers that ask for fewer iterations are refused.",
        ),
        Key::new(
            "scram_max_iterations",
            Number(1, 10_000_000),
            Value("100000"), Drain,
            "Servers that ask for more iterations are refused: each login of a new version costs a processor about 0.3 s for a million of them.",
        ),
        Key::new(
            "auth",
            Words(&["password", "rds-iam"]),
            Value(r#""password""#), Drain,
            "`rds-iam`: a token of RDS IAM authentication instead of the secret's password, made with the AWS credentials of this process; needs `tls = \"verify-full\"`.",
        ),
        Key::new(
            "prefer_socket",
            Text("directory"),
            Absent("TCP"), Drain,
            "The directory of the server's unix socket, like `\"/var/run/postgresql\"`. Where a host is this machine and `tls` is `disable`, the socket with the same port is tried first; it is used if it leads to a login with SCRAM, else TCP is, and the socket is tried again after a minute.",
        )
        .like(r#""/var/run/postgresql""#),
        Key::new(
            "allow_md5",
            Boolean,
            Value("false"), Drain,
            "Also log in with MD5. SCRAM-SHA-256 is always possible.",
        ),
        Key::new(
            "allow_cleartext",
            Boolean,
            Value("false"), Drain,
            "Also send the password in clear, only over verified TLS, loopback or a unix socket.",
        ),
        Key::new(
            "connect_timeout",
            SOME,
            Value(r#""15s""#), AtOnce,
            "How long a login may take at each host. Where the host's name has several addresses, they share the time; the next one is tried when one has failed or has been silent for 250 ms.",
        ),
        Key::new(
            "keepalives",
            Boolean,
            Value("true"), Drain,
            "Send probes on idle TCP connections to the server, to notice when it has vanished.",
        ),
        Key::new(
            "keepalives_idle",
            SECONDS,
            Value(r#""60s""#), Drain,
            "How long a connection to the server is idle before the first probe.",
        ),
        Key::new(
            "keepalives_interval",
            SECONDS,
            Value(r#""15s""#), Drain,
            "The time between probes.",
        ),
        Key::new(
            "keepalives_count",
            Number(1, 127),
            Value("4"), Drain,
            "How many probes may stay unanswered.",
        ),
        Key::new(
            "tcp_user_timeout",
            NONE,
            Value(r#""0s""#), Drain,
            "How long bytes that were sent to the server may stay unacknowledged before the connection counts as lost (Linux); `\"0s\"`: as long as the system says.",
        ),
        Key::new(
            "pool_mode",
            Words(&["transaction", "session", "statement"]),
            Value(r#""transaction""#), NewSessions,
            "How long a client keeps a server connection: for a transaction, for its session, or for a statement. In statement mode there is no transaction of several statements.",
        ),
        Key::new(
            "application_name",
            Text("text with `{application_name}` and `{client}`"),
            Absent("the client's own"), NewSessions,
            "What Postgres is shown, for example in `pg_stat_activity`; `{client}` is the name of the `[[client]]`.",
        )
        .like(r#""{application_name} [{client}]""#),
        Key::new(
            "client_setting",
            Boolean,
            Value("false"), NewSessions,
            "Whether `current_setting('pgvalet.client')` is the name of the `[[client]]`, for row-level policies and triggers. It is set with the client's other settings, in no round trip of its own. SQL of the client can set it for its own transaction ([ISOLATION.md](ISOLATION.md)).",
        ),
        Key::new(
            "pool_size",
            CONNECTIONS,
            Value("20"), AtOnce,
            "A hard ceiling of server connections, old and new generations together.",
        ),
        Key::new(
            "min_pool_size",
            ANY_CONNECTIONS,
            Value("0"), AtOnce,
            "Server connections that are kept open.",
        ),
        Key::new(
            "reserve_pool_size",
            ANY_CONNECTIONS,
            Value("0"), AtOnce,
            "Server connections above `pool_size`, while a client has waited longer than `reserve_pool_timeout`.",
        ),
        Key::new(
            "reserve_pool_timeout",
            NONE,
            Value(r#""5s""#), AtOnce,
            "See `reserve_pool_size`.",
        ),
        Key::new(
            "fleet_size",
            CONNECTIONS,
            Absent("each replica has `pool_size` of its own"), AtOnce,
            "A ceiling of the server connections of all replicas together, which share it by demand ([FLEET.md](FLEET.md)). At least as many as there are replicas. Each replica has one more session that keeps its share, with the application name `pgvalet fleet`.",
        )
        .like("200"),
        Key::new(
            "max_clients",
            COUNT,
            Absent("`max_clients` of `[listen]` alone"), AtOnce,
            "Client connections of this database at the same time.",
        )
        .like("1000"),
        Key::new(
            "pool_wait_timeout",
            SOME,
            Value(r#""2m""#), AtOnce,
            "How long a client waits for a server connection.",
        ),
        Key::new(
            "on_down",
            Words(&["queue", "refuse"]),
            Value(r#""queue""#), AtOnce,
            "What happens to clients while the server cannot be reached, starts, or has no room: `queue` lets them wait for it, up to `pool_wait_timeout`, and tells them so in a NOTICE; `refuse` tells them the error at once ([RELIABILITY.md](RELIABILITY.md)).",
        ),
        Key::new(
            "max_waiting",
            COUNT,
            Value("10000"), AtOnce,
            "Clients that wait for a server connection of this database at the same time. More are refused (53300). The default is that of `max_clients` of `[listen]`.",
        ),
        Key::new(
            "server_check_delay",
            NONE,
            Value(r#""30s""#), AtOnce,
            "A server connection that was idle for longer is tried before it is used; `\"0s\"`: never.",
        ),
        Key::new(
            "reset_between_clients",
            Boolean,
            Value("true"), AtOnce,
            "DISCARD ALL before a client of another `[[client]]` gets a server connection.",
        ),
        Key::new(
            "reuse_plans",
            Boolean,
            Value("false"), AtOnce,
            "In transaction mode, a text that is parsed without a name again and again is prepared on the server once, and neither parsed nor planned when it comes again outside of a transaction ([PERFORMANCE.md](PERFORMANCE.md)).",
        ),
        Key::new(
            "query_timeout",
            NONE,
            Value(r#""0s""#), AtOnce,
            "A query that takes longer is cancelled (57014), give or take a second; `\"0s\"` is no limit.",
        ),
        Key::new(
            "idle_transaction_timeout",
            NONE,
            Value(r#""0s""#), AtOnce,
            "A session that is silent for longer inside a transaction is ended (25P03), give or take a second; `\"0s\"` is no limit.",
        ),
        Key::new(
            "client_idle_timeout",
            NONE,
            Value(r#""0s""#), AtOnce,
            "A session that is silent for longer between transactions is ended (57P05), give or take a second; `\"0s\"` is no limit.",
        ),
        Key::new(
            "server_idle_timeout",
            SECONDS,
            Value(r#""10m""#), AtOnce,
            "A server connection that was idle for longer is closed.",
        ),
        Key::new(
            "server_lifetime",
            SECONDS,
            Value(r#""1h""#), AtOnce,
            "A server connection that is older is closed when it is free.",
        ),
        Key::new(
            "login_concurrency",
            Number(1, 1_000),
            Value("4"), AtOnce,
            "Logins under way at the same time.",
        ),
        Key::new(
            "rotation_grace",
            NONE,
            Value(r#""2m""#), AtOnce,
            "How long clients queue while no version of the secret logs in.",
        ),
        Key::new(
            "drain_timeout",
            NONE,
            Value(r#""5m""#), AtOnce,
            "How long connections of an old version may stay in use after a rotation.",
        ),
        Key::new(
            "drain_deadline_action",
            Words(&["wait", "terminate"]),
            Value(r#""wait""#), AtOnce,
            "What happens to those that are in use after `drain_timeout`: wait on, or end the sessions between transactions (57P01).",
        ),
        Key::new(
            "drain_hard_timeout",
            NONE,
            Value(r#""0s""#), AtOnce,
            "With `terminate`: the time after which sessions end inside a transaction too; `\"0s\"`: never.",
        ),
        Key::new(
            "session_migration",
            Words(&["off", "safe"]),
            Value(r#""off""#), NewSessions,
            "In session mode, `safe` moves a session to a connection of the new version while it is idle, if all that it holds can be had there again ([ROTATION.md](ROTATION.md)).",
        ),
        Key::new(
            "rotation",
            super::Kind::Table(&super::rotation::ROTATION),
            Absent("pgvalet only follows the secret"), AtOnce,
            "How pgvalet itself rotates the secret.",
        )
        .like(r#"{ every = "30 days", strategy = "single" }"#),
    ],
    elsewhere: &[
        ("password", CREDENTIALS),
        ("user", CREDENTIALS),
        ("username", CREDENTIALS),
    ],
};
