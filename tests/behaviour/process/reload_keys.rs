//! Every key of the configuration is changed in a running proxy, and takes effect as its
//! definition says.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pgvalet::admin::Reloaded;
use pgvalet::config::{self, Config, Effect};
use pgvalet::pool::Pool;
use pgvalet::secret::SecretId;
use pgvalet::server;

use crate::common::{Cluster, cli, eventually, new_password};

/// A change of one key: what stands in its table before and after, instead of the lines of
/// the file that have the same keys.
struct Case {
    title: &'static str,
    key: &'static str,
    before: &'static str,
    after: &'static str,
}

const fn case(
    title: &'static str,
    key: &'static str,
    before: &'static str,
    after: &'static str,
) -> Case {
    Case {
        title,
        key,
        before,
        after,
    }
}

const FLEET: &str = "[fleet]";
const LISTEN: &str = "[listen]";
const RUNTIME: &str = "[runtime]";
const ADMIN: &str = "[admin]";
const STORE: &str = "[store]";
const AUDIT: &str = "[audit]";
const SINK: &str = "[[audit.sink]]";
const DATABASE: &str = "[database.NAME]";
const ROTATION: &str = "rotation = { … }";
const CLIENT: &str = "[[client]]";
const TOKEN: &str = "token = { … }";
const AWS_IAM: &str = "aws_iam = { … }";
const VALID: &str = "valid = { … }";

#[rustfmt::skip]
const CASES: &[Case] = &[
    case(LISTEN, "address", "", "address = [\"127.0.0.1:0\", \"127.0.0.1:6499\"]"),
    case(LISTEN, "tls", "certificate = \"c\"\nkey = \"k\"", "certificate = \"c\"\nkey = \"k\"\ntls = \"require\""),
    case(LISTEN, "certificate", "certificate = \"c\"\nkey = \"k\"", "certificate = \"d\"\nkey = \"k\""),
    case(LISTEN, "key", "certificate = \"c\"\nkey = \"k\"", "certificate = \"c\"\nkey = \"l\""),
    case(LISTEN, "client_ca", "certificate = \"c\"\nkey = \"k\"", "certificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\""),
    case(LISTEN, "client_crl", "certificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\"", "certificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\nclient_crl = \"r\""),
    case(LISTEN, "proxy_protocol", "", "proxy_protocol = \"192.0.2.1\""),
    case(LISTEN, "allow_untrusted_networks", "", "allow_untrusted_networks = true"),
    case(LISTEN, "revoke", "", "revoke = \"now\""),
    case(LISTEN, "max_clients", "", "max_clients = 77"),
    case(LISTEN, "handshake_timeout", "", "handshake_timeout = \"16s\""),
    case(LISTEN, "max_handshakes", "", "max_handshakes = 1999"),
    case(LISTEN, "max_handshakes_per_address", "", "max_handshakes_per_address = 199"),
    case(LISTEN, "denials_per_second", "", "denials_per_second = 19"),
    case(LISTEN, "shutdown_timeout", "", "shutdown_timeout = \"2s\""),
    case(LISTEN, "drain_delay", "", "drain_delay = \"5s\""),
    case(LISTEN, "upgrade_timeout", "", "upgrade_timeout = \"2h\""),
    case(LISTEN, "reuse_port", "", "reuse_port = true"),
    case(LISTEN, "wait_notice", "", "wait_notice = \"2s\""),
    case(LISTEN, "socket_mode", "", "socket_mode = \"0600\""),
    case(LISTEN, "socket_owner", "", "socket_owner = 0"),
    case(LISTEN, "socket_group", "", "socket_group = 0"),
    case(LISTEN, "user", "", "user = 0"),
    case(ADMIN, "address", "", "address = \"127.0.0.1:6498\""),
    case(ADMIN, "token_file", "", "token_file = \"t\""),
    case(STORE, "kind", "", "kind = \"aws\""),
    case(STORE, "refresh", "", "refresh = \"61s\""),
    case(STORE, "path", "", "path = \"elsewhere.db\""),
    case(STORE, "allow_own_database", "path = \"postgres://u@127.0.0.1:1/d\"", "path = \"postgres://u@127.0.0.1:1/d\"\nallow_own_database = true"),
    case(STORE, "key_file", "", "key_file = \"elsewhere.key\""),
    case(STORE, "key", "", "key = \"env:KEY\""),
    case(STORE, "address", "", "address = \"127.0.0.1:6497\""),
    case(STORE, "tls_certificate", "address = \"127.0.0.1:6497\"\ntls_certificate = \"c\"\ntls_key = \"k\"", "address = \"127.0.0.1:6497\"\ntls_certificate = \"d\"\ntls_key = \"k\""),
    case(STORE, "tls_key", "address = \"127.0.0.1:6497\"\ntls_certificate = \"c\"\ntls_key = \"k\"", "address = \"127.0.0.1:6497\"\ntls_certificate = \"c\"\ntls_key = \"l\""),
    case(STORE, "region", "kind = \"aws\"", "kind = \"aws\"\nregion = \"eu-west-1\""),
    case(STORE, "endpoint_url", "kind = \"aws\"", "kind = \"aws\"\nendpoint_url = \"https://sm.example\""),
    case(STORE, "profile", "kind = \"aws\"", "kind = \"aws\"\nprofile = \"p\""),
    case(STORE, "agent", "kind = \"aws\"\nagent = \"http://localhost:2773\"\nagent_token_file = \"t\"", "kind = \"aws\"\nagent = \"http://localhost:2774\"\nagent_token_file = \"t\""),
    case(STORE, "agent_token_file", "kind = \"aws\"\nagent = \"http://localhost:2773\"\nagent_token_file = \"t\"", "kind = \"aws\"\nagent = \"http://localhost:2773\"\nagent_token_file = \"u\""),
    case(STORE, "tls_ca", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\ntoken_file = \"t\"", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\ntoken_file = \"t\"\ntls_ca = \"c\""),
    case(STORE, "namespace", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\ntoken_file = \"t\"", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\ntoken_file = \"t\"\nnamespace = \"n\""),
    case(STORE, "auth", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\ntoken_file = \"t\"\nauth_role = \"r\"", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\ntoken_file = \"t\"\nauth_role = \"r\"\nauth = \"kubernetes\""),
    case(STORE, "auth_mount", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\nauth = \"kubernetes\"\nauth_role = \"r\"", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\nauth = \"kubernetes\"\nauth_role = \"r\"\nauth_mount = \"m\""),
    case(STORE, "auth_role", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\nauth = \"kubernetes\"\nauth_role = \"r\"", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\nauth = \"kubernetes\"\nauth_role = \"s\""),
    case(STORE, "token_file", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\ntoken_file = \"t\"", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\ntoken_file = \"u\""),
    case(STORE, "secret_id_file", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\nauth = \"approle\"\nauth_role = \"r\"\nsecret_id_file = \"i\"", "kind = \"vault\"\nendpoint_url = \"https://vault:8200\"\nauth = \"approle\"\nauth_role = \"r\"\nsecret_id_file = \"j\""),
    case(FLEET, "key_file", "key_file = \"k\"", "key_file = \"other.key\""),
    case(FLEET, "address", "key_file = \"k\"", "key_file = \"k\"\naddress = \"127.0.0.1:6496\""),
    case(FLEET, "replica", "key_file = \"k\"", "key_file = \"k\"\nreplica = \"10.0.0.7\""),
    case(FLEET, "peers", "key_file = \"k\"", "key_file = \"k\"\npeers = \"127.0.0.1:6495\""),
    case(RUNTIME, "workers", "", "workers = 3"),
    case(AUDIT, "path", "", "path = \"elsewhere.jsonl\""),
    case(AUDIT, "checkpoint", "", "checkpoint = \"9s\""),
    case(AUDIT, "rotate_size", "", "rotate_size = \"255MiB\""),
    case(AUDIT, "rotate_age", "", "rotate_age = \"23h\""),
    case(AUDIT, "keep", "", "keep = \"forever\""),
    case(AUDIT, "summary", "", "summary = \"14m\""),
    case(AUDIT, "leases", "", "leases = true"),
    case(SINK, "kind", "kind = \"stdout\"", "kind = \"file\"\npath = \"s\""),
    case(SINK, "name", "kind = \"stdout\"", "kind = \"stdout\"\nname = \"n\""),
    case(SINK, "what", "kind = \"stdout\"", "kind = \"stdout\"\nwhat = \"records\""),
    case(SINK, "format", "kind = \"stdout\"", "kind = \"stdout\"\nformat = \"ocsf\""),
    case(SINK, "interval", "kind = \"stdout\"", "kind = \"stdout\"\ninterval = \"2s\""),
    case(SINK, "path", "kind = \"file\"\npath = \"s\"", "kind = \"file\"\npath = \"r\""),
    case(SINK, "address", "kind = \"syslog\"\naddress = \"tls://127.0.0.1:6514\"", "kind = \"syslog\"\naddress = \"tls://127.0.0.1:6515\""),
    case(SINK, "url", "kind = \"otlp\"\nurl = \"https://c/\"", "kind = \"otlp\"\nurl = \"https://d/\""),
    case(SINK, "token_file", "kind = \"otlp\"\nurl = \"https://c/\"", "kind = \"otlp\"\nurl = \"https://c/\"\ntoken_file = \"t\""),
    case(SINK, "tls_ca", "kind = \"syslog\"\naddress = \"tls://127.0.0.1:6514\"", "kind = \"syslog\"\naddress = \"tls://127.0.0.1:6514\"\ntls_ca = \"c\""),
    case(SINK, "command", "kind = \"command\"\ncommand = [\"tee\"]", "kind = \"command\"\ncommand = [\"cat\"]"),
    case(SINK, "bucket", "kind = \"s3\"\nbucket = \"b\"", "kind = \"s3\"\nbucket = \"d\""),
    case(SINK, "prefix", "kind = \"s3\"\nbucket = \"b\"", "kind = \"s3\"\nbucket = \"b\"\nprefix = \"p\""),
    case(SINK, "region", "kind = \"s3\"\nbucket = \"b\"", "kind = \"s3\"\nbucket = \"b\"\nregion = \"eu-west-1\""),
    case(SINK, "endpoint_url", "kind = \"s3\"\nbucket = \"b\"", "kind = \"s3\"\nbucket = \"b\"\nendpoint_url = \"https://s3.example\""),
    case(SINK, "lock", "kind = \"s3\"\nbucket = \"b\"", "kind = \"s3\"\nbucket = \"b\"\nlock = \"governance\""),
    case(SINK, "lock_time", "kind = \"s3\"\nbucket = \"b\"\nlock = \"governance\"", "kind = \"s3\"\nbucket = \"b\"\nlock = \"governance\"\nlock_time = \"9 days\""),
    case(AUDIT, "on_failure", "", "on_failure = \"continue\""),
    case(DATABASE, "secret", "", "secret = \"other\""),
    case(DATABASE, "host", "", "host = \"localhost\""),
    case(DATABASE, "port", "", "port = 1"),
    case(DATABASE, "dbname", "", "dbname = \"template1\""),
    case(DATABASE, "target_session_attrs", "", "target_session_attrs = \"read-write\""),
    case(DATABASE, "tls", "", "tls = \"require\""),
    case(DATABASE, "tls_ca", "tls = \"verify-ca\"", "tls = \"verify-ca\"\ntls_ca = \"a\""),
    case(DATABASE, "tls_certificate", "tls = \"require\"\ntls_certificate = \"c\"\ntls_key = \"k\"", "tls = \"require\"\ntls_certificate = \"d\"\ntls_key = \"k\""),
    case(DATABASE, "tls_key", "tls = \"require\"\ntls_certificate = \"c\"\ntls_key = \"k\"", "tls = \"require\"\ntls_certificate = \"c\"\ntls_key = \"l\""),
    case(DATABASE, "tls_crl", "tls = \"verify-ca\"", "tls = \"verify-ca\"\ntls_crl = \"r\""),
    case(DATABASE, "tls_min_version", "", "tls_min_version = \"TLSv1.3\""),
    case(DATABASE, "tls_key_password_file", "tls = \"require\"\ntls_certificate = \"c\"\ntls_key = \"k\"", "tls = \"require\"\ntls_certificate = \"c\"\ntls_key = \"k\"\ntls_key_password_file = \"p\""),
    case(DATABASE, "keepalives", "", "keepalives = false"),
    case(DATABASE, "keepalives_idle", "", "keepalives_idle = \"50s\""),
    case(DATABASE, "keepalives_interval", "", "keepalives_interval = \"10s\""),
    case(DATABASE, "keepalives_count", "", "keepalives_count = 3"),
    case(DATABASE, "tcp_user_timeout", "", "tcp_user_timeout = \"9s\""),
    case(DATABASE, "channel_binding", "", "channel_binding = \"require\""),
    case(DATABASE, "min_scram_iterations", "", "min_scram_iterations = 4095"),
    case(DATABASE, "scram_max_iterations", "", "scram_max_iterations = 99999"),
    case(DATABASE, "auth", "tls = \"verify-full\"", "tls = \"verify-full\"\nauth = \"rds-iam\""),
    case(DATABASE, "prefer_socket", "", "prefer_socket = \"/nowhere\""),
    case(DATABASE, "allow_md5", "", "allow_md5 = true"),
    case(DATABASE, "allow_cleartext", "", "allow_cleartext = true"),
    case(DATABASE, "connect_timeout", "", "connect_timeout = \"14s\""),
    case(DATABASE, "pool_mode", "", "pool_mode = \"session\""),
    case(DATABASE, "application_name", "", "application_name = \"{client}\""),
    case(DATABASE, "pool_size", "", "pool_size = 19"),
    case(DATABASE, "min_pool_size", "", "min_pool_size = 1"),
    case(DATABASE, "reserve_pool_size", "", "reserve_pool_size = 1"),
    case(DATABASE, "reserve_pool_timeout", "", "reserve_pool_timeout = \"4s\""),
    case(DATABASE, "fleet_size", "", "fleet_size = 50"),
    case(DATABASE, "max_clients", "", "max_clients = 10"),
    case(DATABASE, "on_down", "", "on_down = \"refuse\""),
    case(DATABASE, "max_waiting", "", "max_waiting = 7"),
    case(DATABASE, "pool_wait_timeout", "", "pool_wait_timeout = \"1m\""),
    case(DATABASE, "server_check_delay", "", "server_check_delay = \"20s\""),
    case(DATABASE, "reset_between_clients", "", "reset_between_clients = false"),
    case(DATABASE, "reuse_plans", "", "reuse_plans = true"),
    case(DATABASE, "client_setting", "", "client_setting = true"),
    case(DATABASE, "query_timeout", "", "query_timeout = \"1h\""),
    case(DATABASE, "idle_transaction_timeout", "", "idle_transaction_timeout = \"1h\""),
    case(DATABASE, "client_idle_timeout", "", "client_idle_timeout = \"1h\""),
    case(DATABASE, "server_idle_timeout", "", "server_idle_timeout = \"9m\""),
    case(DATABASE, "server_lifetime", "", "server_lifetime = \"2h\""),
    case(DATABASE, "login_concurrency", "", "login_concurrency = 3"),
    case(DATABASE, "rotation_grace", "", "rotation_grace = \"1m\""),
    case(DATABASE, "drain_timeout", "", "drain_timeout = \"4m\""),
    case(DATABASE, "drain_deadline_action", "", "drain_deadline_action = \"terminate\""),
    case(DATABASE, "drain_hard_timeout", "drain_deadline_action = \"terminate\"", "drain_deadline_action = \"terminate\"\ndrain_hard_timeout = \"1h\""),
    case(DATABASE, "session_migration", "pool_mode = \"session\"", "pool_mode = \"session\"\nsession_migration = \"safe\""),
    case(ROTATION, "every", "rotation = { every = \"30 days\" }", "rotation = { every = \"31 days\" }"),
    case(ROTATION, "schedule", "rotation = { schedule = \"rate(10 days)\" }", "rotation = { schedule = \"rate(11 days)\" }"),
    case(ROTATION, "window", "rotation = { every = \"30 days\", window = \"1h\" }", "rotation = { every = \"30 days\", window = \"2h\" }"),
    case(ROTATION, "freeze", "rotation = { every = \"30 days\" }", "rotation = { every = \"30 days\", freeze = [\"12-20/01-03\"] }"),
    case(ROTATION, "approve", "rotation = { every = \"30 days\" }", "rotation = { every = \"30 days\", approve = true }"),
    case(ROTATION, "canary", "rotation = { every = \"30 days\" }", "rotation = { every = \"30 days\", canary = 1 }"),
    case(ROTATION, "strategy", "rotation = { every = \"30 days\" }", "rotation = { every = \"30 days\", strategy = \"single\" }"),
    case(ROTATION, "admin_secret", "rotation = { every = \"30 days\" }", "rotation = { every = \"30 days\", admin_secret = \"admin\" }"),
    case(ROTATION, "plaintext", "rotation = { every = \"30 days\" }", "rotation = { every = \"30 days\", plaintext = true }"),
    case(CLIENT, "name", "", "name = \"d\""),
    case(CLIENT, "network", "", "network = [\"127.0.0.0/16\"]"),
    case(CLIENT, "unix_user", "", "unix_user = 1"),
    case(CLIENT, "loopback_user", "", "loopback_user = 1"),
    case(CLIENT, "certificate", "", "certificate = \"cn:c\""),
    case(CLIENT, "databases", "", "databases = \"a*\""),
    case(CLIENT, "admin", "", "admin = \"read\""),
    case(CLIENT, "users", "", "users = \"u\""),
    case(CLIENT, "secret", "", "secret = \"other\""),
    case(CLIENT, "pool_size", "", "pool_size = 2"),
    case(CLIENT, "max_clients", "", "max_clients = 3"),
    case(TOKEN, "issuer", "token = { issuer = \"https://i\", audience = \"a\" }", "token = { issuer = \"https://j\", audience = \"a\" }"),
    case(TOKEN, "audience", "token = { issuer = \"https://i\", audience = \"a\" }", "token = { issuer = \"https://i\", audience = \"b\" }"),
    case(TOKEN, "subject", "token = { issuer = \"https://i\", audience = \"a\" }", "token = { issuer = \"https://i\", audience = \"a\", subject = \"s\" }"),
    case(TOKEN, "claims", "token = { issuer = \"https://i\", audience = \"a\" }", "token = { issuer = \"https://i\", audience = \"a\", claims = { groups = \"dba\" } }"),
    case(TOKEN, "jwks_url", "token = { issuer = \"https://i\", audience = \"a\" }", "token = { issuer = \"https://i\", audience = \"a\", jwks_url = \"https://i/k\" }"),
    case(TOKEN, "jwks_file", "token = { issuer = \"https://i\", audience = \"a\" }", "token = { issuer = \"https://i\", audience = \"a\", jwks_file = \"k.json\" }"),
    case(TOKEN, "ca", "token = { issuer = \"https://i\", audience = \"a\" }", "token = { issuer = \"https://i\", audience = \"a\", ca = \"ca.pem\" }"),
    case(TOKEN, "method", "token = { issuer = \"https://i\", audience = \"a\" }", "token = { issuer = \"https://i\", audience = \"a\", method = \"oauthbearer\" }"),
    case(TOKEN, "end_at_expiry", "token = { issuer = \"https://i\", audience = \"a\" }", "token = { issuer = \"https://i\", audience = \"a\", end_at_expiry = true }"),
    case(AWS_IAM, "role", "aws_iam = { role = \"arn:aws:iam::123456789012:role/a\" }", "aws_iam = { role = \"arn:aws:iam::123456789012:role/b\" }"),
    case(AWS_IAM, "audience", "aws_iam = { role = \"arn:aws:iam::123456789012:role/a\" }", "aws_iam = { role = \"arn:aws:iam::123456789012:role/a\", audience = \"b\" }"),
    case(AWS_IAM, "endpoint_url", "aws_iam = { role = \"arn:aws:iam::123456789012:role/a\" }", "aws_iam = { role = \"arn:aws:iam::123456789012:role/a\", endpoint_url = \"https://sts.eu-west-1.amazonaws.com\" }"),
    case(VALID, "from", "valid = { from = \"2026-01-01T00:00:00Z\" }", "valid = { from = \"2025-01-01T00:00:00Z\" }"),
    case(VALID, "until", "valid = { until = \"2126-01-01T00:00:00Z\" }", "valid = { until = \"2127-01-01T00:00:00Z\" }"),
    case("[secret.NAME]", "admin_secret", "admin_secret = \"admin\"", "admin_secret = \"admin2\""),
    case("[rotation]", "admin_secrets", "", "admin_secrets = [\"admins/*\"]"),
];

/// How often a login with the secret's own options is proved anew, which costs a moment.
const DRAINS: usize = 40;

/// The file with some lines of one table instead of its own.
fn file(base: &Path, title: &str, lines: &str) -> String {
    let base = base.display();
    // A certificate of a client is from an authority.
    let listen = match title == CLIENT && lines.contains("certificate") {
        true => "address = \"127.0.0.1:0\"\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\"",
        false => "address = \"127.0.0.1:0\"",
    };
    let sections = [
        (LISTEN, "[listen]", listen.to_owned()),
        (ADMIN, "[admin]", "address = \"\"".to_owned()),
        (
            STORE,
            "[store]",
            format!("path = \"{base}/store.db\"\nkey_file = \"{base}/store.key\""),
        ),
        (AUDIT, "[audit]", format!("path = \"{base}/audit.jsonl\"")),
        (DATABASE, "[database.app]", "secret = \"app\"".to_owned()),
        (
            CLIENT,
            "[[client]]",
            "name = \"c\"\nnetwork = [\"127.0.0.0/8\"]\ndatabases = [\"app\"]".to_owned(),
        ),
        ("[secret.NAME]", "[secret.\"app\"]", String::new()),
        ("[rotation]", "[rotation]", String::new()),
        (FLEET, FLEET, String::new()),
        (RUNTIME, RUNTIME, String::new()),
        (SINK, SINK, String::new()),
    ];
    let parent = match title {
        ROTATION => DATABASE,
        TOKEN | AWS_IAM | VALID => CLIENT,
        title => title,
    };
    let key = |line: &str| line.split(" = ").next().unwrap_or_default().to_owned();
    let written: BTreeSet<String> = lines.lines().map(key).collect();
    let mut text = String::new();
    for (name, head, own) in sections {
        let replaced = |line: &&str| name != parent || !written.contains(&key(line));
        // What belongs to the embedded store is a mistake beside another kind.
        let of_kind =
            |line: &&str| name != STORE || !lines.contains("kind = ") || !line.contains("store.");
        // One of `key` and `key_file` is enough.
        let of_key = |line: &&str| !(written.contains("key") && line.starts_with("key_file"));
        let own = own.lines().filter(replaced).filter(of_kind).filter(of_key);
        let own: Vec<&str> = own.collect();
        let more = if name == parent { lines } else { "" };
        if (name == "[secret.NAME]" || name == SINK || name == FLEET) && more.is_empty() {
            continue;
        }
        writeln!(text, "{head}\n{}\n{more}", own.join("\n")).expect("a string");
    }
    text
}

fn parse(text: &str, case: &Case) -> Config {
    config::parse(text, Path::new("test.toml"))
        .unwrap_or_else(|e| panic!("{} {}: {e}\n{text}", case.title, case.key))
}

/// The key as the answer of a reload names it.
fn named(case: &Case) -> String {
    let key = case.key;
    match case.title {
        DATABASE => format!("[database.app] {key}"),
        CLIENT => format!("[[client]] c {key}"),
        "[secret.NAME]" => format!("[secret.app] {key}"),
        ROTATION => format!("[database.app] rotation.{key}"),
        TOKEN => format!("[[client]] c token.{key}"),
        AWS_IAM => format!("[[client]] c aws_iam.{key}"),
        VALID => format!("[[client]] c valid.{key}"),
        // The list is one key.
        SINK => "[audit] sink".to_owned(),
        title => format!("{title} {key}"),
    }
}

fn of(reloaded: &Reloaded, effect: Effect) -> &[String] {
    match effect {
        Effect::AtOnce => &reloaded.at_once,
        Effect::NewSessions => &reloaded.new_sessions,
        Effect::Drain => &reloaded.drain,
        Effect::Restart => &reloaded.restart,
    }
}

fn pool(proxy: &server::Proxy, secret: &str) -> Arc<Pool> {
    let routes = proxy.context().routes.load();
    let key = (Arc::from("app"), SecretId::new(secret));
    routes.pools.get(&key).expect("a pool").clone()
}

/// The generation in force, once logins have been made as the configuration says, or why
/// they cannot be made.
async fn settled(pool: &Pool) -> Result<u64, Arc<str>> {
    eventually(
        "logins follow the file",
        Duration::from_secs(20),
        || async {
            let counts = pool.counts();
            // Nothing was tried so far.
            if let Some(why) = counts.problem {
                return (&*why != "no login yet").then_some(Err(why));
            }
            let number = counts.in_force().map(|g| g.generation.number);
            number.filter(|_| !pool.is_moving()).map(Ok)
        },
    )
    .await
}

/// The same, before something is changed: the failure of a change before it may still stand for
/// a moment.
async fn settled_again(pool: &Pool) -> Result<u64, Arc<str>> {
    let mut seen = settled(pool).await;
    for _ in 0..40 {
        if seen.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        seen = settled(pool).await;
    }
    seen
}

#[test]
fn every_key_has_an_effect_that_is_tested() {
    let tested: BTreeSet<_> = CASES.iter().map(|c| (c.title, c.key)).collect();
    let defined = config::definitions();
    let untested: Vec<_> = (defined.iter().map(|(title, key, _)| (*title, *key)))
        .filter(|key| !tested.contains(key))
        .collect();
    assert!(untested.is_empty(), "add a case for {untested:?}");
}

/// What the definition of each key says is what happens.
#[tokio::test(flavor = "multi_thread")]
async fn every_key_takes_effect_as_its_definition_says() {
    let cluster = Cluster::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let base = directory.path();
    let path = base.join("pgvalet.toml");
    let plain = file(base, "", "");
    std::fs::write(&path, &plain).expect("written");
    for (secret, role) in [("app", "app_user"), ("other", "other_user")] {
        let password = new_password();
        cluster.create_role(role, &password).await;
        let value = cluster.secret(role, &password);
        cli::pgvalet_ok(&path, &["secret", "create", secret], &value);
    }
    let nothing = case("", "", "", "");
    let proxy = server::Proxy::start(parse(&plain, &nothing))
        .await
        .expect("it starts");
    let app = pool(&proxy, "app");
    settled(&app).await.expect("a login");
    let mut drains = 0;
    for (title, key, effect) in config::definitions() {
        let Some(case) = CASES.iter().find(|c| (c.title, c.key) == (title, key)) else {
            continue; // the test above says so
        };
        let before = proxy
            .reload(parse(&file(base, title, case.before), case))
            .await;
        before.expect("put into force");
        let before = settled_again(&app).await;
        let clients = proxy.context().clients.most();
        let text = file(base, title, case.after);
        let new = parse(&text, case);
        let reloaded = proxy.reload(new.clone()).await.expect("put into force");
        let name = named(case);
        if (title, key) == (CLIENT, "name") {
            // Another name is another client.
            assert_eq!(reloaded.at_once, ["[[client]] c", "[[client]] d"]);
        } else {
            assert!(
                of(&reloaded, effect).contains(&name),
                "{name}: {reloaded:?}"
            );
        }
        for other in Effect::ALL.into_iter().filter(|e| *e != effect) {
            assert!(
                !of(&reloaded, other).contains(&name),
                "{name}: {reloaded:?}"
            );
        }
        let again = proxy.reload(parse(&text, case)).await.expect("again");
        let kept = again.restart.contains(&name);
        assert_eq!(kept, effect == Effect::Restart, "{name}: {again:?}");
        assert!(
            again.at_once.is_empty() && again.drain.is_empty(),
            "{again:?}"
        );
        let most = proxy.context().clients.most();
        assert_eq!(
            most != clients,
            (title, key) == (LISTEN, "max_clients"),
            "{name}"
        );
        let reception = proxy.context().reception.load();
        assert_eq!(**reception, new.listen.reception, "{name}");
        if (title, key) == (DATABASE, "secret") {
            settled(&pool(&proxy, "other")).await.expect("a login");
            continue;
        }
        // The pool goes on, with the options of the file, which are proved where that is
        // said.
        assert!(Arc::ptr_eq(&app, &pool(&proxy, "app")), "{name}");
        assert_eq!(**app.database(), *new.databases["app"], "{name}");
        let after = settled(&app).await;
        match (effect, before, after) {
            (Effect::Drain, Ok(before), Ok(after)) => assert!(after > before, "{name}"),
            (Effect::Drain, _, Err(why)) => {
                assert!(
                    why.contains("as the reloaded configuration says"),
                    "{name}: {why}"
                );
            }
            (_, before, after) => assert_eq!(after.ok(), before.ok(), "{name}"),
        }
        drains += usize::from(effect == Effect::Drain);
    }
    assert!((10..DRAINS).contains(&drains), "{drains} keys drain");
    // All is as it was, but what a restart is needed for was never in force.
    let reloaded = proxy
        .reload(parse(&plain, &nothing))
        .await
        .expect("as before");
    assert!(reloaded.restart.is_empty(), "{reloaded:?}");
    settled(&app).await.expect("a login");
    proxy.stop().await;
}
