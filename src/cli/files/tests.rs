use std::fs;

use super::*;
use crate::config::parse;

/// What is found in a configuration whose paths are in `directory`.
fn found(directory: &Path, text: &str) -> Vec<String> {
    let text = text.replace('@', &directory.display().to_string());
    let whole = format!(
        "{text}\n[audit]\npath = \"{0}/log/a.jsonl\"\n[database.a]\nsecret = \"s\"\ntls_ca = \"{0}/ca.pem\"\n",
        directory.display()
    );
    problems(&parse(&whole, Path::new("t.toml")).unwrap_or_else(|e| panic!("{e}")))
}

const STORE: &str = "[store]\npath = \"@/store.db\"\nkey_file = \"@/store.key\"\n";

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let pair = rcgen::generate_simple_self_signed(vec!["h".to_owned()]).expect("made");
    let write = |name: &str, text: String| {
        fs::write(directory.path().join(name), text).expect("written");
    };
    write("ca.pem", pair.cert.pem());
    write("tls.key", pair.signing_key.serialize_pem());
    let own = fs::Permissions::from_mode(0o640);
    for key in ["tls.key", "ca.pem"] {
        fs::set_permissions(directory.path().join(key), own.clone()).expect("set");
    }
    write("empty", String::new());
    directory
}

#[track_caller]
fn one(found: &[String], parts: &[&str]) {
    assert_eq!(found.len(), 1, "{found:?}");
    for part in parts {
        assert!(found[0].contains(part), "{part:?} is missing in {found:?}");
    }
}

#[test]
fn a_first_start_needs_nothing_but_room() {
    let directory = directory();
    assert_eq!(found(directory.path(), STORE), Vec::<String>::new());
}

#[test]
fn the_key_must_be_there_with_its_store_and_be_private() {
    let directory = directory();
    fs::write(directory.path().join("store.db"), "").expect("written");
    one(
        &found(directory.path(), STORE),
        &["store.key is missing", "put it back"],
    );
    let key = directory.path().join("store.key");
    fs::write(&key, "k").expect("written");
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("set");
    mode(0o640);
    one(&found(directory.path(), STORE), &["mode 0640", "chmod 600"]);
    mode(0o600);
    assert_eq!(found(directory.path(), STORE), Vec::<String>::new());
}

#[test]
fn certificates_and_keys_must_be_what_they_are_called() {
    let directory = directory();
    let tls = |certificate: &str, key: &str| {
        let listen =
            format!("[listen]\ncertificate = \"@/{certificate}\"\nkey = \"@/{key}\"\n{STORE}");
        found(directory.path(), &listen)
    };
    assert_eq!(tls("ca.pem", "tls.key"), Vec::<String>::new());
    one(
        &tls("empty", "tls.key"),
        &["[listen] certificate", "no certificate"],
    );
    one(
        &tls("missing", "tls.key"),
        &["[listen] certificate", "missing"],
    );
    let exposed = fs::Permissions::from_mode(0o644);
    fs::set_permissions(directory.path().join("tls.key"), exposed).expect("set");
    one(
        &tls("ca.pem", "tls.key"),
        &["[listen] key", "mode 0644", "chmod 640"],
    );
    one(
        &tls("ca.pem", "ca.pem"),
        &["[listen] key", "holds no PEM private key"],
    );
}

#[test]
fn what_is_in_the_way_is_named() {
    let directory = directory();
    let listen = format!("[listen]\naddress = \"unix:@/empty\"\n{STORE}");
    one(
        &found(directory.path(), &listen),
        &["empty is not a directory"],
    );
    let token = format!("[admin]\ntoken_file = \"@/empty\"\n{STORE}");
    one(
        &found(directory.path(), &token),
        &["[admin] token_file", "openssl rand"],
    );
    fs::write(directory.path().join("log"), "").expect("written");
    one(
        &found(directory.path(), STORE),
        &["[audit] path", "cannot be made", "not a directory"],
    );
}
