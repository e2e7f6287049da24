use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::audit::OnAuditFailure;
use crate::pool::{DrainDeadlineAction, PoolMode, SessionMigration};
use crate::secret::UpstreamAuth;
use crate::upstream;

mod doubtful;
mod rules;
mod store;

const MINIMAL: &str = r#"
[database.orders]
secret = "prod/orders"

[[client]]
name = "orders-api"
network = ["10.0.0.0/8"]
databases = ["orders"]
"#;

fn read(text: &str) -> Result<Config, ConfigErrors> {
    parse(text, Path::new("t.toml"))
}

fn valid(text: &str) -> Config {
    read(text).unwrap_or_else(|e| panic!("{e}"))
}

/// What is said about a text that must be wrong.
fn wrong(text: &str) -> String {
    match read(text) {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(e) => e.to_string(),
    }
}

/// The minimal file with more keys in its `[database.orders]`.
fn with_database(keys: &str) -> String {
    MINIMAL.replace("[[client]]", &format!("{keys}\n[[client]]"))
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    let message = wrong(text);
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing in:\n{message}");
    }
}

#[test]
fn a_minimal_file_has_every_default() {
    let config = valid(MINIMAL);
    assert_eq!(
        config.listen,
        Listen {
            addresses: vec![ListenAddress::Tcp {
                host: "127.0.0.1".into(),
                port: 6432
            }],
            tls: ListenTls::Off,
            max_clients: 10_000,
            handshake_timeout: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(30),
            socket_mode: 0o660,
            socket_owner: None,
            socket_group: None,
            client_ca: None,
            proxy_protocol: Vec::new(),
            revoke: Revoke::Idle,
            guard: Guard::default(),
            allow_untrusted_networks: false,
            user: None,
        }
    );
    assert_eq!(
        config.admin.address,
        Some(AdminAddress::Tcp("127.0.0.1:6433".into()))
    );
    assert_eq!(config.store.refresh, Duration::from_secs(60));
    assert_eq!(
        config.store.kind,
        StoreKind::Embedded {
            path: "data/store.db".into(),
            key: KeySource::File("data/store.key".into())
        }
    );
    assert_eq!(
        config.audit,
        audit::Options {
            sink: AuditSink::File("data/audit.jsonl".into()),
            on_failure: OnAuditFailure::Deny
        }
    );
    let orders = &config.databases["orders"];
    assert_eq!(
        **orders,
        Database {
            name: "orders".into(),
            secret: SecretId::new("prod/orders"),
            upstream: Arc::new(upstream::Options {
                name: "orders".into(),
                host: None,
                port: None,
                target_session_attrs: Default::default(),
                dbname: None,
                tls: None,
                tls_ca: None,
                tls_identity: None,
                require_channel_binding: false,
                min_scram_iterations: 4096,
                auth: UpstreamAuth::Password,
                allow_md5: false,
                allow_cleartext: false,
                connect_timeout: Duration::from_secs(15),
            }),
            pool_mode: PoolMode::Transaction,
            application_name: None,
            pool_size: 20,
            min_pool_size: 0,
            reserve_pool_size: 0,
            reserve_pool_timeout: Duration::from_secs(5),
            max_clients: None,
            server_check_delay: Duration::from_secs(30),
            reset_between_clients: true,
            query_timeout: Duration::ZERO,
            idle_transaction_timeout: Duration::ZERO,
            client_idle_timeout: Duration::ZERO,
            pool_wait_timeout: Duration::from_secs(120),
            server_idle_timeout: Duration::from_secs(600),
            server_lifetime: Duration::from_secs(3600),
            drain_timeout: Duration::from_secs(300),
            drain_deadline_action: DrainDeadlineAction::Wait,
            drain_hard_timeout: Duration::ZERO,
            session_migration: SessionMigration::Off,
            login_concurrency: 4,
            rotation_grace: Duration::from_secs(120),
        }
    );
    let client = &config.clients[0];
    assert_eq!((&*client.name, client.rule), ("orders-api", 1));
    assert_eq!(client.databases, std::slice::from_ref(&orders.name));
    assert!(client.users.is_none() && client.unix_user.is_none() && client.secret.is_none());
    assert_eq!(warnings(&config), Vec::<String>::new());
}

/// `config/full.toml` promises to show the defaults: what it sets must change nothing.
#[test]
fn the_full_file_shows_the_defaults() {
    let full = include_str!("../../config/full.toml");
    let mut config = valid(full);
    let minimal = valid(MINIMAL);
    config.clients = minimal.clients.clone();
    assert_eq!(config, minimal);
    // And with everything that is commented out, each key is a known one.
    let keys = |line: &str| {
        line.strip_prefix('#')
            .filter(|l| {
                l.split_once(" = ")
                    .is_some_and(|(k, _)| k.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            })
            .map(str::to_owned)
    };
    let all: Vec<String> = full
        .lines()
        .map(|l| keys(l).unwrap_or_else(|| l.to_owned()))
        .collect();
    assert!(all.iter().filter(|l| l.starts_with("tls_ca")).count() == 1);
    let message = wrong(&all.join("\n"));
    // The keys of the other kind of store are the only thing wrong.
    assert!(
        message
            .lines()
            .all(|l| l.contains("belongs to another kind")),
        "{message}"
    );
    assert_eq!(message.lines().count(), 3);
}

#[test]
fn every_example_is_valid() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut read = 0;
    for entry in std::fs::read_dir(directory).expect("config/") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|e| e == "toml") {
            let config = load(&path).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(
                warnings(&config),
                Vec::<String>::new(),
                "{}",
                path.display()
            );
            read += 1;
        }
    }
    assert!(read >= 3);
}

#[test]
fn unknown_keys_have_their_place_and_the_nearest_known_one() {
    says(
        &format!("[listen]\nadress = []\n{MINIMAL}"),
        &["t.toml:2:1: unknown key \"adress\" in [listen]; did you mean \"address\"?"],
    );
    says(
        &with_database("  pool_sise = 3"),
        &[":5:3: unknown key \"pool_sise\" in [database.orders]; did you mean \"pool_size\"?"],
    );
    says(
        &format!("{MINIMAL}[audti]\n"),
        &[":9:2: unknown section \"audti\"; did you mean \"audit\"?"],
    );
    says(
        &format!("{MINIMAL}certificat = \"cn:a\"\n"),
        &["unknown key \"certificat\" in [[client]]; did you mean \"certificate\"?"],
    );
}

#[test]
fn all_mistakes_are_shown_at_once_in_order() {
    let message = wrong(
        "[listen]\nmax_clients = 0\nhandshake_timeout = 5\n[database.a]\npool_size = 0\n\
         [[client]]\nnetwork = [\"10.0.0.0/8\", \"10.0.0.1/8\", 7]\ndatabases = [\"b\"]\n",
    );
    let starts: Vec<&str> = message
        .lines()
        .map(|l| {
            l.strip_prefix("t.toml:")
                .and_then(|l| l.split(':').next())
                .unwrap_or(l)
        })
        .collect();
    assert_eq!(
        starts,
        ["2", "3", "4", "5", "6", "7", "7", "8"],
        "{message}"
    );
    for part in [
        "2:15: max_clients: 0 is out of range; write 1 to 1000000",
        "3:21: handshake_timeout: write text in quotes here, not a number",
        "[database.a]: there is no secret; add secret",
        "[[client]]: there is no name",
        "7:26: network: \"10.0.0.1/8\" has bits set beyond its prefix",
        "there is no [database.b]; there are a",
    ] {
        assert!(message.contains(part), "{part:?} is missing in:\n{message}");
    }
}

#[test]
fn what_is_not_toml() {
    says("[listen\n", &["t.toml:1:", "this is not TOML"]);
    says("a = 1\na = 2\n", &["t.toml:2:1: this is not TOML"]);
    says(
        "",
        &["t.toml:1:1: there is no database; add a section [database.NAME]"],
    );
    says("database = 1", &["database is a section; write [database]"]);
    says(
        "[database]\nsecret = \"a\"",
        &["secret stands directly in [database]; write [database.NAME]"],
    );
    says(
        "[client]\nname = \"a\"",
        &["client is a list of sections; write [[client]]"],
    );
}

#[test]
fn listener_tls() {
    let listen = |keys: &str| format!("[listen]\n{keys}\n{MINIMAL}");
    let (certificate, key) = (PathBuf::from("c.pem"), PathBuf::from("k.pem"));
    let pair = "certificate = \"c.pem\"\nkey = \"k.pem\"\n";
    assert_eq!(
        valid(&listen(pair)).listen.tls,
        ListenTls::Allow {
            certificate: certificate.clone(),
            key: key.clone()
        }
    );
    assert_eq!(
        valid(&listen(&format!("{pair}tls = \"require\"")))
            .listen
            .tls,
        ListenTls::Require { certificate, key }
    );
    assert_eq!(
        valid(&listen(&format!("{pair}tls = \"off\""))).listen.tls,
        ListenTls::Off
    );
    says(&listen("tls = \"require\""), &["tls needs a certificate"]);
    says(&listen("certificate = \"c\""), &["needs its private key"]);
    says(&listen("key = \"c\""), &["needs its certificate"]);
    says(
        &listen("tls = \"on\""),
        &["2:7: tls: \"on\" is not possible; write \"off\" or \"allow\" or \"require\""],
    );
    says(&listen("address = [\"h:1\", \"h:1\"]"), &["stands twice"]);
    says(
        &listen("address = []"),
        &["2:11: address: the list is empty"],
    );
}

#[test]
fn the_admin_listener_needs_a_token_off_loopback() {
    let admin = |keys: &str| format!("[admin]\n{keys}\n{MINIMAL}");
    says(
        &admin("address = \"0.0.0.0:6433\""),
        &["[admin]", "token_file"],
    );
    says(&admin("address = \"6433\""), &["is no address"]);
    assert_eq!(valid(&admin("address = \"\"")).admin.address, None);
    let unix = valid(&admin("address = \"unix:/run/pgvalet/admin.sock\""));
    let path = "/run/pgvalet/admin.sock".into();
    assert_eq!(unix.admin.address, Some(AdminAddress::Unix(path)));
    for path in ["", "run/admin.sock", "/run/"] {
        let text = format!("address = \"unix:{path}\"");
        says(&admin(&text), &["is no path of a socket"]);
    }
    let long = format!("address = \"unix:/{}\"", "d".repeat(107));
    says(&admin(&long), &["shorter"]);
    for fine in [
        "address = \"[::1]:1\"",
        "address = \"localhost:1\"",
        "address = \"0.0.0.0:1\"\ntoken_file = \"t\"",
    ] {
        valid(&admin(fine));
    }
}

#[test]
fn databases() {
    says(&with_database("tls = \"prefer\""), &["can strip it"]);
    says(
        &with_database("pool_mode = \"statements\""),
        &["write \"transaction\" or \"session\" or \"statement\""],
    );
    says(
        &with_database("application_name = \"{user}\""),
        &["write {application_name} or {client}"],
    );
    says(
        &with_database("pool_size = 2\nmin_pool_size = 3"),
        &["min_pool_size 3 is above pool_size 2"],
    );
    says(
        &with_database("tls = \"require\"\ntls_ca = \"f\""),
        &["tls_ca is not looked at"],
    );
    says(&with_database("port = 65536"), &["write 1 to 65535"]);
    says(
        &with_database("connect_timeout = \"0s\""),
        &["connect_timeout: \"0s\" is out of range"],
    );
    says(
        &with_database("drain_hard_timeout = \"1h\""),
        &["which drain_deadline_action = \"wait\" forbids"],
    );
    says(
        &with_database("drain_deadline_action = \"terminate\"\ndrain_hard_timeout = \"1m\""),
        &["drain_hard_timeout is shorter than drain_timeout"],
    );
    says(
        &with_database("session_migration = \"safe\""),
        &["session_migration is for pool_mode = \"session\""],
    );
    says(
        &with_database("drain_timeout = \"400d\""),
        &["out of range"],
    );
    says(&with_database("host = \"\""), &["host: this is empty"]);
    says(
        &MINIMAL.replace("prod/orders", "prod orders"),
        &["3:10: secret: \"prod orders\" is no secret's name"],
    );
    let d = &valid(&with_database(
        "rotation_grace = \"0s\"\nport = 5_433\nallow_md5 = true",
    ))
    .databases["orders"];
    assert_eq!(
        (d.rotation_grace, d.upstream.port, d.upstream.allow_md5),
        (Duration::ZERO, Some(5433), true)
    );
}

#[test]
fn rotations() {
    let rotation = |keys: &str| with_database(&format!("rotation = {{ {keys} }}"));
    for (keys, part) in [
        ("every = \"monthly\"", "every:"),
        ("every = \"1001 days\"", "\"1s\" to \"1000 days\""),
        ("schedule = \"daily\"", "is no schedule expression"),
        ("schedule = \"rate(3 hours)\"", "\"rate(4 hours)\""),
        ("schedule = \"cron(0 3 * * ?)\"", "this one has 5"),
        ("schedule = \"cron(30 3 * * ? *)\"", "must be 0"),
        (
            "every = \"30 days\", schedule = \"rate(30 days)\"",
            "exclude each other",
        ),
        ("window = \"3h\"", "window belongs to a schedule"),
        ("every = \"30 days\", window = \"90m\"", "full hours"),
        ("every = \"30 days\", window = \"25h\"", "\"24h\""),
        ("every = \"5h\", window = \"6h\"", "reaches the next one"),
        (
            "schedule = \"cron(0 /8 * * ? *)\", window = \"9h\"",
            "reaches the next one",
        ),
        ("strategy = \"multi\"", "alternating"),
        ("admin_secret = \"prod admin\"", "is no secret's name"),
        ("evry = \"30 days\"", "every"),
    ] {
        says(&rotation(keys), &["t.toml:5:", part]);
    }
    let config = valid(&rotation(
        "schedule = \"rate(4 hours)\", window = \"4h\", strategy = \"alternating\", admin_secret = \"a\"",
    ));
    let rotation = config.rotation(&config.databases["orders"]);
    let rotation = rotation.expect("it is there");
    assert!(rotation.schedule.is_some() && rotation.admin_secret.is_some());
    // A pool is kept over a reload that leaves its database as it is.
    assert_eq!(config.databases, valid(&with_database("")).databases);
}

#[test]
fn administrators_are_listed() {
    let with = |text: &str| format!("{MINIMAL}\n{text}");
    let config = valid(&with(
        "[secret.\"prod/orders\"]\nadmin_secret = \"prod/admin\"\n[rotation]\nadmin_secrets = \"admins/*\"",
    ));
    let admins = &config.admin_secrets;
    let arn = "arn:aws:secretsmanager:local:000000000000:secret:x-AbCdEf";
    assert_eq!(
        admins.of("prod/orders", arn),
        Some(&crate::secret::SecretId::new("prod/admin"))
    );
    assert!(admins.lists("admins/a", arn) && !admins.lists("prod/admin", arn));
    for (text, part) in [
        (
            "[secret.\"a b\"]\nadmin_secret = \"x\"",
            "is no secret's name",
        ),
        ("[secret.a]\nadmin_secret = \"x y\"", "is no secret's name"),
        ("[secret.a]\nadmin_secret = \"a\"", "own administrator"),
        (
            "[secret.a]\nadmin_secrets = \"x\"",
            "did you mean \"admin_secret\"",
        ),
        ("[rotation]\nadmin_secrets = [\"*\"]", "lists every secret"),
        ("[rotation]\nadmin_secrets = []", "the list is empty"),
        (
            "[rotation]\nadmin_secret = \"x\"",
            "did you mean \"admin_secrets\"",
        ),
    ] {
        says(&with(text), &[part]);
    }
}

#[test]
fn a_file_that_is_not_there() {
    let e = load(Path::new("/nonexistent/p.toml"))
        .expect_err("missing")
        .to_string();
    assert!(
        e.contains("there is no configuration file /nonexistent/p.toml"),
        "{e}"
    );
    let e = load(Path::new("/")).expect_err("a directory").to_string();
    assert!(e.contains("cannot be read"), "{e}");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(?s).*") {
        if let Err(e) = read(&text) {
            prop_assert!(!e.problems.is_empty());
        }
    }

    /// Text that gets past the parser more often.
    #[test]
    fn any_value_of_any_key_is_read_or_refused(
        section in "(listen|admin|store|audit|database|database.a|\\[client\\])",
        key in "(address|tls|kind|path|secret|port|pool_size|network|unix_user|databases|refresh|name)",
        value in "(\\[?(\"[a-z0-9:/.]{0,12}\"|-?[0-9]{1,25}|true|0x[0-9a-f]+|1e5|\\{\\}|1979-05-27)\\]?)",
    ) {
        if let Err(e) = read(&format!("[{section}]\n{key} = {value}\n")) {
            prop_assert!(!e.problems.is_empty());
        }
    }
}
