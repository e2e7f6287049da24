//! `[store]`: where secrets are, and where the embedded store is served.

use super::*;
use crate::secret::{Credential, Password, VaultAuth, VersionId};
use crate::upstream::Target;

#[test]
fn stores() {
    let store = |keys: &str| format!("[store]\n{keys}\n{MINIMAL}");
    assert_eq!(
        the_store(&valid(&store("kind = \"aws\"\nregion = \"eu-west-1\""))).kind,
        StoreKind::Aws {
            region: Some("eu-west-1".into()),
            endpoint_url: None,
            profile: None
        }
    );
    says(
        &store("kind = \"aws\"\npath = \"a\""),
        &["path belongs to another kind of store"],
    );
    says(
        &store("region = \"a\""),
        &["region belongs to another kind of store", "kind = \"aws\""],
    );
    let key = |keys: &str| match the_store(&valid(&store(keys))).kind {
        StoreKind::Embedded { key, .. } => key,
        other => panic!("{other}"),
    };
    assert_eq!(key("key_file = \"a\""), KeySource::File("a".into()));
    assert_eq!(key("key = \"file:a\""), KeySource::File("a".into()));
    assert_eq!(key("key = \"env:A\""), KeySource::Env("A".into()));
    let kms = |file: &str| KeySource::Kms {
        key_id: "alias/a".into(),
        file: file.into(),
    };
    assert_eq!(key("key = \"kms:alias/a\""), kms("data/store.key"));
    assert_eq!(key("key = \"kms:alias/a\"\nkey_file = \"b\""), kms("b"));
    says(&store("key = \"a\""), &["key: ", "\"env:NAME\""]);
    says(
        &store("key = \"env:A\"\nkey_file = \"a\""),
        &["both say where the key is"],
    );
    says(
        &store("kind = \"aws\"\nkey = \"env:A\""),
        &["key belongs to another kind of store"],
    );
    says(
        &store("kind = \"consul\""),
        &["\"embedded\"", "\"aws\"", "\"files\""],
    );
    assert_eq!(
        the_store(&valid(&store(
            "kind = \"files\"\npath = \"/etc/pgvalet/secrets\""
        )))
        .kind,
        StoreKind::Files {
            path: "/etc/pgvalet/secrets".into(),
            key: KeySource::File("data/store.key".into()),
        }
    );
    let vault = |keys: &str| {
        let text = format!("kind = \"vault\"\nendpoint_url = \"https://vault:8200/\"\n{keys}");
        store(&text)
    };
    let auth = |keys: &str| match the_store(&valid(&vault(keys))).kind {
        StoreKind::Vault { options, .. } if options.url == "https://vault:8200" => options.auth,
        other => panic!("{other}"),
    };
    assert_eq!(auth("token_file = \"t\""), VaultAuth::TokenFile("t".into()));
    assert_eq!(
        auth("auth = \"kubernetes\"\nauth_role = \"r\"\nauth_mount = \"k8s\""),
        VaultAuth::Kubernetes {
            mount: "k8s".into(),
            role: "r".into(),
            token_file: "/var/run/secrets/kubernetes.io/serviceaccount/token".into(),
        }
    );
    says(&vault(""), &["needs token_file"]);
    says(&vault("auth = \"kubernetes\""), &["needs auth_role"]);
    says(
        &vault("auth = \"approle\""),
        &["needs auth_role", "needs secret_id_file"],
    );
    says(
        &store("kind = \"vault\"\ntoken_file = \"t\""),
        &["needs the address of Vault"],
    );
    says(
        &store("kind = \"vault\"\ntoken_file = \"t\"\nendpoint_url = \"http://vault:8200\""),
        &["endpoint_url", "use https"],
    );
    says(&store("namespace = \"a\""), &["kind = \"vault\""]);
    let agent = "kind = \"aws\"\nagent = \"http://localhost:2773\"";
    assert_eq!(
        the_store(&valid(&store(agent))).kind,
        StoreKind::Agent {
            url: "http://localhost:2773".into(),
            token_file: "/var/run/awssmatoken".into(),
        }
    );
    says(
        &store(&format!("{agent}\nregion = \"a\"")),
        &["a region and credentials of its own"],
    );
    says(
        &store("kind = \"aws\"\nagent = \"http://10.0.0.1:2773\""),
        &["use https"],
    );
    says(
        &store("kind = \"files\""),
        &["needs the directory of the secrets"],
    );
    says(
        &store("kind = \"files\"\npath = \"a\"\nregion = \"b\""),
        &["region belongs to another kind of store", "kind = \"aws\""],
    );
    says(
        &store("kind = \"aws\"\nendpoint_url = \"localhost\""),
        &["is no URL"],
    );
    says(&store("refresh = \"10ms\""), &["write \"1s\" to \"365d\""]);
}

#[test]
fn the_store_is_served_where_it_says() {
    let store = |keys: &str| format!("[store]\n{keys}\n{MINIMAL}");
    let listen = |keys: &str| the_store(&valid(&store(keys))).listen;
    assert_eq!(listen(""), None);
    let plain = listen("address = \"127.0.0.1:6434\"").expect("an address");
    assert_eq!(
        (plain.address.as_str(), plain.tls),
        ("127.0.0.1:6434", None)
    );
    let files = "tls_certificate = \"c\"\ntls_key = \"k\"";
    let secured = listen(&format!("address = \"0.0.0.0:6434\"\n{files}"));
    assert!(secured.is_some_and(|l| l.tls.is_some()));
    for (keys, said) in [
        ("address = \"0.0.0.0:6434\"", "so it needs TLS"),
        ("address = \"store.internal:6434\"", "so it needs TLS"),
        ("address = \"6434\"", "is no address"),
        (files, "tls_certificate is for an address"),
        (
            "address = \"[::1]:1\"\ntls_key = \"k\"",
            "tls_key needs its certificate",
        ),
        (
            "address = \"[::1]:1\"\ntls_certificate = \"c\"",
            "tls_certificate needs its private key",
        ),
        (
            "kind = \"aws\"\naddress = \"127.0.0.1:1\"",
            "address belongs to another kind of store",
        ),
    ] {
        says(&store(keys), &[said]);
    }
}

#[test]
fn a_file_that_serves_only_the_store_needs_no_database() {
    assert!(
        valid("[store]\naddress = \"127.0.0.1:6434\"")
            .databases
            .is_empty()
    );
    says("[store]\npath = \"a\"", &["there is no database"]);
}

#[test]
fn several_stores_beside_each_other() {
    let text = "[store]\npath = \"a.db\"\n[store.aws]\nkind = \"aws\"\nrefresh = \"5s\"\n\
        [store.files]\nkind = \"files\"\npath = \"/etc/s\"\n\
        [database.a]\nsecret = \"aws:prod/a\"\n[database.b]\nsecret = \"b\"\n\
        rotation = { every = \"30 days\", admin_secret = \"files:admin\" }\n\
        [secret.\"aws:prod/a\"]\nadmin_secret = \"aws:admin\"\n\
        [rotation]\nadmin_secrets = [\"aws:admins/*\"]\n";
    let config = valid(text);
    let names: Vec<_> = config.stores.names();
    let names: Vec<_> = names.iter().map(Option::as_deref).collect();
    assert_eq!(names, [None, Some("aws"), Some("files")]);
    let (a, b) = (&config.databases["a"].secret, &config.databases["b"].secret);
    assert_eq!((a.store(), a.within()), (Some("aws"), "prod/a"));
    assert_eq!((b.store(), b.within()), (None, "b"));
    assert_eq!(config.stores.of(a).map(|s| s.kind.name()), Some("aws"));
    assert_eq!(config.refresh(a), Duration::from_secs(5));
    assert_eq!(config.refresh(b), Duration::from_secs(60));
    let admin = config.rotations["b"].admin_secret.clone();
    assert_eq!(admin.as_ref().and_then(|a| a.store()), Some("files"));
    let admins = &config.admin_secrets;
    let of_a = admins.of(Some("aws"), "prod/a", "x");
    assert_eq!(of_a.map(|a| a.as_str()), Some("aws:admin"));
    assert!(admins.lists(Some("aws"), "admins/x", "y"));
    assert!(!admins.lists(None, "admins/x", "y"));
    let settings: Vec<_> = config.settings.iter().map(|s| &*s.key).collect();
    assert!(settings.contains(&"store.path") && settings.contains(&"store.aws.kind"));
}

#[test]
fn named_stores_alone_leave_no_default_store() {
    let named = "[store.b]\nkind = \"files\"\npath = \"/etc/s\"\n[database.a]\nsecret = ";
    let config = valid(&format!("{named}\"b:x\"\n"));
    assert!(config.stores.named(None).is_none());
    assert!(!config.stores.are_several());
    says(
        &format!("{named}\"x\"\n"),
        &["is in no store", "write \"b:x\"", "[store]"],
    );
    says(
        &format!("{named}\"c:x\"\n"),
        &["there is no [store.c]; there are b"],
    );
    for (text, part) in [
        ("[store.arn]\nkind = \"aws\"", "ARNs begin with this word"),
        ("[store.\"a b\"]\nkind = \"aws\"", "letters, digits"),
        ("[store.b]\nkin = \"aws\"", "did you mean \"kind\"?"),
        ("[store]\nb = 1", "unknown key \"b\" in [store]"),
        (
            "[store]\n[store.b]\npath = \"s.db\"\n[store.c]\npath = \"s.db\"",
            "[store.c]: path is that of [store.b]",
        ),
        (
            "[store]\npath = \"a.db\"\naddress = \"127.0.0.1:7000\"\n\
             [store.b]\npath = \"b.db\"\naddress = \"127.0.0.1:7000\"",
            "[store.b]: address is that of [store]",
        ),
    ] {
        says(&format!("{text}\n{MINIMAL}"), &[part]);
    }
}

#[test]
fn a_store_on_postgres_is_a_url_without_a_password() {
    let store = |keys: &str| format!("[store]\n{keys}\n{MINIMAL}");
    let url = "path = \"postgres://u@db.internal/secrets?sslcert=c&sslkey=k\"";
    let config = valid(&store(url));
    let own = config
        .stores
        .named(None)
        .expect("a store")
        .kind
        .own_database();
    assert!(own.is_some_and(|own| own.is_database("db.internal", 5432, "secrets")));
    assert!(
        config
            .databases
            .values()
            .all(|d| d.upstream.store.as_ref() == own),
        "every database is told which one it must not be"
    );
    let allowed = valid(&store(&format!("{url}\nallow_own_database = true")));
    assert!(
        allowed
            .stores
            .named(None)
            .expect("a store")
            .kind
            .own_database()
            .is_none()
    );
    assert!(
        allowed
            .databases
            .values()
            .all(|d| d.upstream.store.is_none())
    );
    // Whoever says where the database is.
    let credential = |host: &str, dbname: &str| Credential {
        secret: SecretId::new("s"),
        arn: "arn:s".into(),
        version: VersionId::new("v"),
        stages: Vec::new(),
        host: Some(host.into()),
        port: None,
        dbname: Some(dbname.into()),
        username: "app".into(),
        password: Password::new("p".into()),
        auth: UpstreamAuth::Password,
        fetched_at: std::time::SystemTime::now(),
    };
    let resolve = |config: &Config, host: &str, dbname: &str| {
        let database = config.databases.values().next().unwrap();
        let resolved = Target::resolve(&database.upstream, &credential(host, dbname));
        resolved.map(drop).map_err(|e| e.to_string())
    };
    let refused = resolve(&config, "DB.internal", "secrets").unwrap_err();
    assert!(refused.contains("allow_own_database"), "{refused}");
    assert_eq!(resolve(&config, "db.internal", "orders"), Ok(()));
    assert_eq!(resolve(&allowed, "db.internal", "secrets"), Ok(()));
    says(
        &store("path = \"postgres://u:hunter2@db.internal/secrets\""),
        &["path: ", "must not hold a password"],
    );
    says(
        &store("allow_own_database = true"),
        &["is for a store on PostgreSQL"],
    );
}
