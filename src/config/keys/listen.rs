//! The keys of `[listen]` and `[admin]`.

use super::Default::{Absent, Value};
use super::Effect::{AtOnce, NewSessions, Restart};
use super::Kind::{Boolean, List, Text, User, Words};
use super::{COUNT, FILE, Key, NONE, SOME, Table};

pub(super) static LISTEN: Table = Table {
    title: "[listen]",
    about: "\
Where clients connect, and what is done until it is known who they are. The files of the certificate, its key, \
`client_ca` and `client_crl` are read again when they change, and in a reload.",
    keys: &[
        Key::new(
            "address",
            List("`host:port`, `unix:/directory` or `unix:/directory:port`"),
            Value(r#"["127.0.0.1:6432"]"#), Restart,
            "The addresses to listen on. The socket in a directory is `.s.PGSQL.PORT`, with the port of the first TCP address (else 6432) unless another is given. Port 0 is any free port.",
        )
        .like(r#"["127.0.0.1:6432", "unix:/run/pgvalet"]"#),
        Key::new(
            "tls",
            Words(&["off", "allow", "require"]),
            Absent("`\"allow\"` if there is a certificate, else `\"off\"`"), Restart,
            "Whether clients may, or must, use TLS. Unix sockets have none.",
        ),
        Key::new(
            "certificate",
            FILE,
            Absent("no TLS"), Restart,
            "The server certificate with its whole chain, PEM. It is read again when the file changes.",
        )
        .like(r#""tls.crt""#),
        Key::new(
            "key",
            FILE,
            Absent("no TLS"), Restart,
            "The private key of `certificate`, PEM. A key that other users can read is refused.",
        )
        .like(r#""tls.key""#),
        Key::new(
            "client_ca",
            FILE,
            Absent("clients are asked for no certificate"), Restart,
            "The authorities whose client certificates are accepted, PEM. It is read again when the file changes.",
        )
        .like(r#""clients-ca.pem""#),
        Key::new(
            "client_crl",
            List("files"),
            Absent("no revocation lists"), Restart,
            "Certificate revocation lists, PEM: one for every authority of a chain.",
        )
        .like(r#"["clients.crl"]"#),
        Key::new(
            "proxy_protocol",
            List("networks"),
            Absent("none"), NewSessions,
            "Networks of load balancers: their connections begin with a PROXY header (v1 or v2), whose address is believed. No other connection may begin with one.",
        )
        .like(r#"["10.0.0.5"]"#),
        Key::new(
            "allow_untrusted_networks",
            Boolean,
            Value("false"), AtOnce,
            "Permits a `[[client]]` that is recognised by nothing but `network = \"0.0.0.0/0\"` (or `::/0`) on an address that other machines reach.",
        ),
        Key::new(
            "revoke",
            Words(&["idle", "now"]),
            Value(r#""idle""#), AtOnce,
            "When a session ends whose access has ended: between transactions, or at once.",
        ),
        Key::new(
            "max_clients",
            COUNT,
            Value("10000"), AtOnce,
            "Client connections at the same time.",
        ),
        Key::new(
            "handshake_timeout",
            SOME,
            Value(r#""15s""#), NewSessions,
            "How long a client may take from accept until it is known who it is.",
        ),
        Key::new(
            "max_handshakes",
            COUNT,
            Value("2000"), AtOnce,
            "Handshakes at the same time. Beyond that the oldest handshake of the address that has the most is closed.",
        ),
        Key::new(
            "max_handshakes_per_address",
            COUNT,
            Value("200"), AtOnce,
            "Handshakes of one address at the same time.",
        ),
        Key::new(
            "denials_per_second",
            COUNT,
            Value("20"), AtOnce,
            "Denials of one address that have an audit record of their own; more are summarised.",
        ),
        Key::new(
            "shutdown_timeout",
            NONE,
            Value(r#""30s""#), AtOnce,
            "How long transactions may take to finish after SIGTERM.",
        ),
        Key::new(
            "drain_delay",
            NONE,
            Value(r#""0s""#), AtOnce,
            "How long clients are still accepted after SIGTERM, while `/readyz` answers 503, so that a load balancer sends no more of them. `shutdown_timeout` begins after it.",
        )
        .like(r#""5s""#),
        Key::new(
            "upgrade_timeout",
            NONE,
            Value(r#""1h""#), AtOnce,
            "How long a process that was replaced (`pgvalet upgrade`) goes on with its sessions; those that are left then end between transactions.",
        ),
        Key::new(
            "reuse_port",
            Boolean,
            Value("false"), Restart,
            "Permits other processes of the same user to listen on the same TCP addresses (SO_REUSEPORT): the system gives each of them a part of the clients.",
        ),
        Key::new(
            "wait_notice",
            NONE,
            Value(r#""1s""#), AtOnce,
            "A client that has waited for a server connection for this time is sent a NOTICE that says what it waits for; `\"0s\"`: never.",
        ),
        Key::new(
            "socket_mode",
            Text("file mode in octal"),
            Value(r#""0660""#), Restart,
            "The permissions of unix sockets.",
        ),
        Key::new(
            "socket_owner",
            User,
            Absent("the user pgvalet runs as"), Restart,
            "The owner of unix sockets.",
        )
        .like(r#""root""#),
        Key::new(
            "socket_group",
            User,
            Absent("the group pgvalet runs as"), Restart,
            "The group of unix sockets.",
        )
        .like(r#""applications""#),
        Key::new(
            "user",
            User,
            Absent("pgvalet stays the user that started it"), Restart,
            "The user that pgvalet becomes when root starts it.",
        )
        .like(r#""pgvalet""#),
    ],
    elsewhere: &[],
};

pub(super) static ADMIN: Table = Table {
    title: "[admin]",
    about: "\
HTTP for people and monitoring: `/metrics`, `/livez`, `/readyz`, `/status`, `/clients`, `/servers`, `/rotations`; \
`/rules`, `/explain`, `/denial`, `/audit`; and `POST` `/refresh`, `/rotate`, `/approve`, `/pause`, `/resume`, `/kill`, \
`/reconnect`, `/disable`, `/enable`, `/reload`.

On loopback, any user of the machine may read the first of these without a token. The rules, the denials, the audit \
log and what changes something need the token in `admin.token` beside the audit log (mode 0600), which pgvalet \
makes anew at every start. With `token_file`, \
everything but `/livez` and `/readyz` needs that token. A unix socket lets in only the user and group that \
pgvalet runs as; that user needs no token.",
    keys: &[
        Key::new(
            "address",
            Text("`host:port` or `unix:/path`"),
            Value(r#""127.0.0.1:6433""#), Restart,
            "Where to listen. A unix socket has mode 0660; `\"\"` switches the listener off.",
        )
        .like(r#""unix:/run/pgvalet/admin.sock""#),
        Key::new(
            "token_file",
            FILE,
            Absent("`admin.token`, for changes only"), Restart,
            "A file with the bearer token that requests over TCP must show; required off loopback.",
        )
        .like(r#""secrets/admin.token""#),
    ],
    elsewhere: &[],
};
