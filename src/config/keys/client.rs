//! The keys of `[[client]]`, and of the tables inside it.

use super::Default::{Absent, Required, Value};
use super::Effect::{AtOnce, NewSessions};
use super::Kind::{Boolean, BooleanOr, List, Text, Texts, User, Words};
use super::{CONNECTIONS, COUNT, FILE, Key, PATTERN, Table};

const CONDITION: super::Default = Absent("no condition");

pub(super) static CLIENT: Table = Table {
    title: "[[client]]",
    about: "\
A rule: how a client is recognised, and what it may use. The first rule, in the order of the file, whose conditions \
all hold and that grants the database, or the console, decides; nobody else gets in. A rule gives at least one condition: \
`network`, `unix_user`, `loopback_user`, `certificate`, `token` or `aws_iam`. In a reload the rules decide anew; \
sessions that would not get the same access end (`[listen] revoke`). `pgvalet explain --database orders --from 10.1.2.3` says which \
rule decides, and why the others do not.",
    keys: &[
        Key::new(
            "name",
            Text("text"),
            Required, AtOnce,
            "The identity in audit records, metrics and commands. Several rules may have the same name: one identity, recognised in several ways.",
        )
        .like(r#""orders-api""#),
        Key::new(
            "network",
            List("networks or addresses"),
            CONDITION, AtOnce,
            "The client's address is in one of these. That is worth as much as the network's promise that nobody else can have it.",
        )
        .like(r#"["10.0.0.0/8", "::1"]"#),
        Key::new(
            "unix_user",
            User,
            CONDITION, AtOnce,
            "The user at the other end of the unix socket, as the kernel says.",
        )
        .like(r#""settlement""#),
        Key::new(
            "loopback_user",
            User,
            CONDITION, AtOnce,
            "The user who holds the other end of a TCP connection over loopback (Linux only).",
        )
        .like(r#""orders""#),
        Key::new(
            "certificate",
            List("URIs, `dns:NAME` or `cn:NAME`"),
            CONDITION, AtOnce,
            "A name in the client's TLS certificate; needs `[listen] client_ca`.",
        )
        .like(r#""spiffe://example.org/orders""#),
        Key::new(
            "token",
            super::Kind::Table(&TOKEN),
            CONDITION, AtOnce,
            "A token (JWT) of an issuer, presented as the password over TLS or on this machine.",
        )
        .like(r#"{ issuer = "https://issuer.example", audience = "pgvalet", subject = "system:serviceaccount:shop:*" }"#),
        Key::new(
            "aws_iam",
            super::Kind::Table(&AWS_IAM),
            CONDITION, AtOnce,
            "A presigned GetCallerIdentity of an AWS role, presented as the password over TLS or on this machine.",
        )
        .like(r#"{ role = "arn:aws:iam::123456789012:role/orders" }"#),
        Key::new(
            "databases",
            List("names of `[database.NAME]`; `*` stands for any characters"),
            Absent("none; required without `admin`"), AtOnce,
            "The databases that the client may use.",
        )
        .like(r#"["orders"]"#),
        Key::new(
            "admin",
            BooleanOr(&["read"]),
            Value("false"), AtOnce,
            "The client may use the console, `psql -d pgvalet` ([CONSOLE.md](CONSOLE.md)): `\"read\"` to look, `true` to change as well.",
        ),
        Key::new(
            "users",
            List("user names"),
            Absent("any"), AtOnce,
            "The user names that the client may ask for. The user on the server comes from the secret all the same.",
        )
        .like(r#"["orders"]"#),
        Key::new(
            "secret",
            Text("secret name or ARN"),
            Absent("the database's"), AtOnce,
            "The secret for this client, instead of the database's.",
        )
        .like(r#""prod/orders-readonly""#),
        Key::new(
            "pool_size",
            CONNECTIONS,
            Absent("the pool's"), NewSessions,
            "Server connections that the clients of this rule may hold at the same time.",
        )
        .like("5"),
        Key::new(
            "max_clients",
            COUNT,
            Absent("`max_clients` of `[listen]`"), AtOnce,
            "Sessions of this name at the same time.",
        )
        .like("100"),
        Key::new(
            "valid",
            super::Kind::Table(&VALID),
            Absent("always"), AtOnce,
            "When the rule is in force.",
        )
        .like(r#"{ from = "08:00", until = "18:00" }"#),
    ],
    elsewhere: &[],
};

static TOKEN: Table = Table {
    title: "token = { … }",
    about: "In a `[[client]]`; [TOKENS.md](TOKENS.md) has the rest.",
    keys: &[
        Key::new(
            "issuer",
            Text("text"),
            Required,
            AtOnce,
            "Exactly the token's `iss`.",
        )
        .like(r#""https://issuer.example""#),
        Key::new(
            "audience",
            Text("text"),
            Required,
            AtOnce,
            "Must be among the token's `aud`: a token made for another service is refused.",
        )
        .like(r#""pgvalet""#),
        Key::new(
            "subject",
            PATTERN,
            Absent("any subject of the issuer"),
            AtOnce,
            "The token's `sub`.",
        )
        .like(r#""system:serviceaccount:shop:*""#),
        Key::new(
            "claims",
            Texts("`*` stands for any characters"),
            Absent("none"),
            AtOnce,
            "What else the token must say; of a list, one element.",
        )
        .like(r#"{ groups = "dba" }"#),
        Key::new(
            "jwks_url",
            Text("URL"),
            Absent("the issuer's `/.well-known/openid-configuration` says where"),
            AtOnce,
            "Where the issuer's public keys are (RFC 7517): https, or http on this machine.",
        )
        .like(r#""https://issuer.example/keys""#),
        Key::new(
            "jwks_file",
            FILE,
            Absent("see `jwks_url`"),
            AtOnce,
            "The issuer's public keys in a file, which is read again when it changes.",
        )
        .like(r#""/etc/pgvalet/cluster-keys.json""#),
        Key::new(
            "ca",
            FILE,
            Absent("the roots of the system"),
            AtOnce,
            "The authorities to trust for the issuer's address, PEM.",
        )
        .like(r#""issuer-ca.pem""#),
        Key::new(
            "method",
            Words(&["password", "oauthbearer"]),
            Value(r#""password""#),
            NewSessions,
            "How the token is presented: as the password, or by SASL OAUTHBEARER (RFC 7628), which libpq speaks from version 18 on.",
        ),
        Key::new(
            "end_at_expiry",
            Boolean,
            Value("false"),
            AtOnce,
            "The session ends, between transactions, when its token does.",
        ),
    ],
    elsewhere: &[],
};

static AWS_IAM: Table = Table {
    title: "aws_iam = { … }",
    about: "In a `[[client]]`; [TOKENS.md](TOKENS.md) has the rest.",
    keys: &[
        Key::new(
            "role",
            Text("ARN of a role, without its path; `*` stands for any characters"),
            Required,
            AtOnce,
            "Whose requests count.",
        )
        .like(r#""arn:aws:iam::123456789012:role/orders""#),
        Key::new(
            "audience",
            Text("text"),
            Value(r#""pgvalet""#),
            AtOnce,
            "What the signed header `x-pgvalet-audience` must say, so that a request made for another service is refused.",
        ),
        Key::new(
            "endpoint_url",
            Text("URL"),
            Absent("`sts.amazonaws.com` and `sts.REGION.amazonaws.com` only"),
            AtOnce,
            "Another address of STS to ask: https, or http on this machine.",
        )
        .like(r#""https://sts.eu-west-1.amazonaws.com""#),
    ],
    elsewhere: &[],
};

static VALID: Table = Table {
    title: "valid = { … }",
    about: "In a `[[client]]`: two moments, of which one may be missing, or two times of every day in UTC.",
    keys: &[
        Key::new(
            "from",
            Text("RFC 3339 or `HH:MM`"),
            Absent("since ever"),
            AtOnce,
            "The first moment.",
        )
        .like(r#""2026-01-01T00:00:00Z""#),
        Key::new(
            "until",
            Text("RFC 3339 or `HH:MM`"),
            Absent("for ever"),
            AtOnce,
            "The first moment that is too late.",
        )
        .like(r#""18:00""#),
    ],
    elsewhere: &[],
};
