//! Secrets that are files: the file comes early, late, in two halves or back again,
//! and no client sees anything.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use tempfile::TempDir;

use super::read_only::{Kept, World};
use crate::common::cli;
use crate::common::{Cluster, ProxyBuilder, new_password};

/// Secrets as files, each in another form.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::with_prefix("pgvalet-files-").expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }

    /// In a new directory, to which `..data` then leads, as Kubernetes does it.
    fn swap(&self, name: &str, keys: &[(&str, &str)]) {
        let at = |part: &str| self.path(&format!("{name}/{part}"));
        let state = format!("..{}", uuid::Uuid::new_v4());
        fs::create_dir_all(at(&state)).expect("made");
        for (key, value) in keys {
            fs::write(at(&format!("{state}/{key}")), value).expect("written");
            if fs::symlink_metadata(at(key)).is_err() {
                symlink(format!("..data/{key}"), at(key)).expect("linked");
            }
        }
        let old = fs::read_link(at("..data")).ok();
        symlink(&state, at("..data_tmp")).expect("linked");
        fs::rename(at("..data_tmp"), at("..data")).expect("swapped");
        if let Some(old) = old {
            fs::remove_dir_all(at(old.to_str().expect("text"))).expect("removed");
        }
    }
}

impl Kept for Files {
    const SUBJECTS: [(&'static str, &'static str, usize); 4] = [
        ("document", "transaction", 1),
        ("mounted", "session", 1),
        ("keys", "transaction", 2),
        ("replaced", "session", 2),
    ];

    fn name_of(&self, subject: &str) -> String {
        subject.to_owned()
    }

    fn configure(&self, builder: ProxyBuilder) -> ProxyBuilder {
        let (path, key) = (self.0.path().display(), self.path("../key"));
        let key = key.with_file_name(format!("{}.key", uuid::Uuid::new_v4()));
        builder.store(&format!(
            "kind = \"files\"\npath = \"{path}\"\nkey_file = {key:?}"
        ))
    }

    fn put(&self, cluster: &Cluster, name: &str, user: &str, password: &str) {
        let json = cluster.secret(user, password);
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let port = value["port"].to_string();
        let host = value["host"].as_str().expect("a host").to_owned();
        let dbname = value["dbname"].as_str().expect("a name").to_owned();
        let keys = [
            ("username", user),
            ("password", password),
            ("host", &host),
            ("port", &port),
            ("dbname", &dbname),
        ];
        match name {
            // Written over, which is not atomic.
            "document" => self.write("document.json", &json),
            "mounted" => self.swap(name, &keys),
            // One key after the other.
            "keys" => keys
                .iter()
                .for_each(|(key, value)| self.write(&format!("keys/{key}"), value)),
            _ => {
                self.write(".new", &json);
                fs::rename(self.path(".new"), self.path(name)).expect("renamed");
            }
        }
    }

    /// What stands there while it is being written.
    fn put_half(&self, cluster: &Cluster, name: &str, user: &str, password: &str) {
        let json = cluster.secret(user, password);
        match name {
            "document" => self.write("document.json", &json[..json.len() / 2]),
            "mounted" => self.swap(name, &[("username", user)]),
            "keys" => self.write("keys/username", user),
            _ => self.write(name, ""),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_early_late_and_in_halves_and_nobody_notices() {
    let world = World::new(Files::new()).await;
    world.through_every_window().await;
}

/// A mounted secret is replaced again and again under load.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_swaps_of_a_mounted_secret_under_load() {
    let world = World::new(Files::new()).await;
    world.rotate_often(20).await;
}

/// What such a store cannot do is said in words.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_files_says_what_it_cannot_do() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let files = Files::new();
    files.write("app", &cluster.secret("app_user", &password));
    let proxy = files
        .configure(ProxyBuilder::default())
        .database("app", "secret = \"app\"")
        .prepare();
    let run = |args: &[&str], input: &str| {
        let done = cli::pgvalet(&proxy.config(), args, input);
        let text = [done.stdout, done.stderr].concat();
        (
            done.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (ok, said) = run(&["check"], "");
    assert!(ok && said.contains("files below"), "{said}");
    assert!(said.contains("logs in"), "{said}");
    let (ok, said) = run(&["secret", "list"], "");
    assert!(ok && said.contains("app"), "{said}");
    let (ok, said) = run(&["secret", "get", "app", "--reveal"], "");
    assert!(ok && said.contains(&password), "revealed");
    for (args, what) in [
        (&["rotate", "app"][..], "can neither change nor rotate them"),
        (
            &["secret", "put", "app"][..],
            "can neither change nor rotate them",
        ),
        (
            &["secret", "create", "new"][..],
            "cannot create or delete secrets in files",
        ),
        (
            &["secret", "delete", "app"][..],
            "cannot create or delete secrets in files",
        ),
        (
            &["secret", "policy", "get", "app"][..],
            "there are no resource policies in files",
        ),
        (
            &["store", "principal", "list"][..],
            "this command is about embedded stores",
        ),
        (
            &["secret", "get", "../app"][..],
            "is no name of a secret in files",
        ),
        (&["secret", "get", "nothing"][..], "there is neither"),
    ] {
        let (ok, said) = run(args, &cluster.secret("app_user", "x"));
        assert!(!ok && said.contains(what), "{args:?}: {said}");
    }
    // A rotation that is configured and cannot be carried out is told by the check.
    let text = fs::read_to_string(proxy.config()).expect("read");
    let text = text.replace(
        "[database.app]\n",
        "[database.app]\nrotation = { every = \"30 days\" }\n",
    );
    fs::write(proxy.config(), text).expect("written");
    let (ok, said) = run(&["check"], "");
    assert!(
        !ok && said.contains("rotation is configured, but"),
        "{said}"
    );
}
