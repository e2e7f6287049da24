//! `[store]`: where secrets are, and where the embedded store is served.

use super::*;
use crate::secret::VaultAuth;

#[test]
fn stores() {
    let store = |keys: &str| format!("[store]\n{keys}\n{MINIMAL}");
    assert_eq!(
        valid(&store("kind = \"aws\"\nregion = \"eu-west-1\""))
            .store
            .kind,
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
    let key = |keys: &str| match valid(&store(keys)).store.kind {
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
        valid(&store("kind = \"files\"\npath = \"/etc/pgvalet/secrets\""))
            .store
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
    let auth = |keys: &str| match valid(&vault(keys)).store.kind {
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
        valid(&store(agent)).store.kind,
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
    let listen = |keys: &str| valid(&store(keys)).store.listen;
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
