//! The keys of `[store]`, `[secret.NAME]` and `[rotation]`.

use super::Default::{Absent, Value};
use super::Effect::{AtOnce, Restart};
use super::Kind::{Boolean, List, Text, Words};
use super::{FILE, Key, SECONDS, Table};

pub(super) static STORE: Table = Table {
    title: "[store]",
    about: "\
Where the secrets are. The embedded store ([STORE.md](STORE.md)) needs no \
keys at all; for AWS Secrets Manager see [EXAMPLES.md](EXAMPLES.md), for files and Vault [STORES.md](STORES.md). A file that is there for nothing but to serve \
the store needs no `[database.NAME]`.

There may be several stores, as tables `[store.NAME]` with the same keys, beside `[store]` or instead of it. A secret of one \
of them is written `\"NAME:secret\"`, wherever a secret is named; without a name in front, it is one of `[store]`. A reload adds and removes \
whole stores at once.",
    keys: &[
        Key::new(
            "kind",
            Words(&["embedded", "aws", "files", "vault"]),
            Value(r#""embedded""#), Restart,
            "The store of this file: pgvalet's own, AWS Secrets Manager, files that something else writes, or HashiCorp Vault or OpenBao ([STORES.md](STORES.md)).",
        ),
        Key::new(
            "refresh",
            SECONDS,
            Value(r#""60s""#), Restart,
            "How often the current version of a secret is looked up, give or take a little. A login that fails looks at once, and the embedded store also tells of changes.",
        ),
        Key::new(
            "path",
            FILE,
            Value(r#""data/store.db""#), Restart,
            "Embedded: the database file, or `postgres://USER@HOST/DATABASE?…` for a store that several replicas share ([STORE.md](STORE.md)). Files, required: the directory of the secrets.",
        ),
        Key::new(
            "allow_own_database",
            Boolean,
            Value("false"), Restart,
            "Embedded, on PostgreSQL: let a `[database.NAME]` be the database that the store is in. Its secret can then be read only as long as the store's own login works.",
        ),
        Key::new(
            "key_file",
            FILE,
            Value(r#""data/store.key""#), Restart,
            "Embedded: the file of the master key, made with mode 0600 if it is missing. A key that other users can read is refused. Files and Vault: the file of the key from which the ids of versions are made; if it cannot be made, the ids are others after each start.",
        ),
        Key::new(
            "key",
            Text("`file:PATH`, `env:NAME` or `kms:KEY_ID`"),
            Absent("the key is in `key_file`"), Restart,
            "Instead of `key_file`: a file, a variable of the environment (32 bytes in base64), or a key of AWS KMS that wraps the master key kept in `key_file` ([STORE-KEYS.md](STORE-KEYS.md)).",
        )
        .like(r#""kms:alias/pgvalet""#),
        Key::new(
            "address",
            Text("`host:port`"),
            Absent("the store is not served"), Restart,
            "Embedded only: where to serve the Secrets Manager API of the store.",
        )
        .like(r#""127.0.0.1:6434""#),
        Key::new(
            "tls_certificate",
            FILE,
            Absent("no TLS"), Restart,
            "Embedded only: the certificate of `address` with its whole chain, PEM; required off loopback.",
        )
        .like(r#""store.crt""#),
        Key::new(
            "tls_key",
            FILE,
            Absent("no TLS"), Restart,
            "Embedded only: the private key of `tls_certificate`, PEM.",
        )
        .like(r#""store.key.pem""#),
        Key::new(
            "region",
            Text("AWS region"),
            Absent("as the AWS SDK finds it"), Restart,
            "AWS only.",
        )
        .like(r#""eu-west-1""#),
        Key::new(
            "endpoint_url",
            Text("URL"),
            Absent("that of the region"), Restart,
            "AWS: another address of the service. Vault, required: its address, https, or http on this machine.",
        )
        .like(r#""https://secretsmanager.eu-west-1.amazonaws.com""#),
        Key::new(
            "profile",
            Text("name"),
            Absent("as the AWS SDK finds it"), Restart,
            "AWS only: the profile in the AWS configuration files.",
        )
        .like(r#""production""#),
        Key::new(
            "agent",
            Text("URL"),
            Absent("AWS is asked directly"), Restart,
            "AWS only: the AWS Secrets Manager Agent of this machine, which is asked instead; pgvalet can only read there.",
        )
        .like(r#""http://localhost:2773""#),
        Key::new(
            "agent_token_file",
            FILE,
            Value(r#""/var/run/awssmatoken""#), Restart,
            "AWS only: the file of the agent's token.",
        ),
        Key::new(
            "tls_ca",
            FILE,
            Absent("the CAs that the system trusts"), Restart,
            "Vault only: the CA of `endpoint_url`, PEM.",
        )
        .like(r#""vault-ca.pem""#),
        Key::new(
            "namespace",
            Text("name"),
            Absent("none"), Restart,
            "Vault only: the namespace of every path.",
        )
        .like(r#""team-a""#),
        Key::new(
            "auth",
            Words(&["token", "kubernetes", "approle"]),
            Value(r#""token""#), Restart,
            "Vault only: how pgvalet logs in: with the token in `token_file`, as a service account of Kubernetes, or with AppRole.",
        ),
        Key::new(
            "auth_mount",
            Text("path"),
            Absent("as the way is called: `kubernetes`, `approle`"), Restart,
            "Vault only: where this way to log in is mounted, below `auth/`.",
        )
        .like(r#""kubernetes""#),
        Key::new(
            "auth_role",
            Text("name"),
            Absent("required, except with a token"), Restart,
            "Vault only: the role; of AppRole, its `role_id`.",
        )
        .like(r#""pgvalet""#),
        Key::new(
            "token_file",
            FILE,
            Absent("required with `auth = \"token\"`; of Kubernetes, the file of the service account"), Restart,
            "Vault only: the file of the token. It is read for each request, so that an agent can replace it.",
        )
        .like(r#""/vault/secrets/token""#),
        Key::new(
            "secret_id_file",
            FILE,
            Absent("required with `auth = \"approle\"`"), Restart,
            "Vault only: the file of the `secret_id` of AppRole.",
        )
        .like(r#""/etc/pgvalet/secret-id""#),
    ],
    elsewhere: &[],
};

pub(super) static SECRET: Table = Table {
    title: "[secret.NAME]",
    about: "\
Which secret may change the role of this one when pgvalet rotates it ([ROTATING.md](ROTATING.md)). Quotes around the name \
keep its slashes: `[secret.\"prod/orders\"]`.",
    keys: &[
        Key::new(
            "admin_secret",
            Text("secret name or ARN"),
            Absent("as the database's `rotation` or the secret's value says"), AtOnce,
            "The secret of the administrator that changes the role, whatever the value of the secret says.",
        )
        .like(r#""prod/admin""#),
    ],
    elsewhere: &[],
};

pub(super) static ROTATION: Table = Table {
    title: "[rotation]",
    about: "\
Which secrets count as administrators' ([ROTATING.md](ROTATING.md)). An administrator's \
password goes to its own server only.",
    keys: &[
        Key::new(
            "admin_secrets",
            List("secret names or ARNs; `*` stands for any characters"),
            Absent("none"), AtOnce,
            "The secrets that the value of another one may name as its administrator (`masterarn`, as the templates of AWS have it). Patterns that match every secret are refused.",
        )
        .like(r#"["admins/*"]"#),
    ],
    elsewhere: &[],
};
