use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::secret::{AWSCURRENT, AWSPENDING, AWSPREVIOUS};

struct World {
    directory: TempDir,
    store: FilesStore,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("secrets")).unwrap();
        let store = FilesStore::open(&directory.path().join("secrets"), Marker::new(&[7; 32]));
        Self { directory, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("secrets").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Keys as Kubernetes writes them: a new directory, to which `..data` leads.
    fn swap(&self, name: &str, state: &str, user: &str, password: &str) {
        let at = |part: &str| self.path(&format!("{name}/{part}"));
        fs::create_dir_all(at(state)).unwrap();
        fs::write(at(&format!("{state}/username")), user).unwrap();
        fs::write(at(&format!("{state}/password")), password).unwrap();
        symlink(state, at("..data_tmp")).unwrap();
        let old = fs::read_link(at("..data")).ok();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        match old {
            Some(old) => fs::remove_dir_all(at(old.to_str().unwrap())).unwrap(),
            None => {
                for key in ["username", "password"] {
                    symlink(format!("..data/{key}"), at(key)).unwrap();
                }
            }
        }
    }

    async fn get(&self, name: &str, label: &str) -> Result<SecretValue, StoreError> {
        let which = Which::Stage(label.to_owned());
        self.store.get(&SecretId::new(name), &which).await
    }

    async fn password(&self, name: &str, label: &str) -> Result<String, StoreError> {
        let id = SecretId::new(name);
        let value = self.get(name, label).await?;
        let credential = Credential::parse(&id, &value).unwrap();
        Ok(format!(
            "{}:{}",
            credential.username,
            credential.password.reveal()
        ))
    }

    async fn refused(&self, name: &str) -> (&'static str, String) {
        let error = self.get(name, AWSCURRENT).await.err().expect("refused");
        (error.kind(), error.to_string())
    }
}

fn json(user: &str, password: &str) -> String {
    format!(r#"{{"username":"{user}","password":"{password}"}}"#)
}

#[tokio::test]
async fn a_document_or_a_directory_of_keys_is_a_secret() {
    let world = World::new();
    world.write("orders.json", &json("u", "one"));
    world.write("plain", &json("u", "two"));
    world.write("prod/db/username", "u\n");
    world.write("prod/db/password", "three\n");
    world.write("prod/db/port", "5433");
    world.write("pgo/user", "u");
    world.write("pgo/password", " four ");
    world.swap("kubernetes", "..2026_1", "u", "five");
    for (name, found) in [
        ("orders", "u:one"),
        ("orders.json", "u:one"),
        ("plain", "u:two"),
        ("prod/db", "u:three"),
        ("pgo", "u: four "),
        ("kubernetes", "u:five"),
    ] {
        assert_eq!(
            world.password(name, AWSCURRENT).await.unwrap(),
            found,
            "{name}"
        );
    }
    world.write("notes.txt", "no credential");
    let listed = world.store.list().await.unwrap();
    let names: Vec<&str> = listed.iter().map(|d| &*d.name).collect();
    assert_eq!(names, ["kubernetes", "orders", "pgo", "plain", "prod/db"]);
    assert!(listed[1].arn.starts_with("file:///"), "{}", listed[1].arn);
}

#[tokio::test]
async fn what_was_seen_stays_as_previous_versions() {
    let world = World::new();
    let id = SecretId::new("a");
    world.write("a", &json("u", "1"));
    let first = world.get("a", AWSCURRENT).await.unwrap();
    assert_eq!(first.stages, [AWSCURRENT]);
    assert_eq!(
        world.get("a", AWSCURRENT).await.unwrap().version,
        first.version
    );
    assert_eq!(
        world.get("a", AWSPREVIOUS).await.err().unwrap().kind(),
        "not_found"
    );
    world.write("a", &json("u", "2"));
    assert_eq!(world.password("a", AWSCURRENT).await.unwrap(), "u:2");
    assert_eq!(world.password("a", AWSPREVIOUS).await.unwrap(), "u:1");
    assert_eq!(
        world.get("a", AWSPENDING).await.err().unwrap().kind(),
        "not_found"
    );
    world.write("a", &json("u", "3"));
    let described = world.store.describe(&id).await.unwrap();
    assert_eq!(described.versions.len(), 2);
    assert!(described.last_changed.is_some());
    let all = world.store.versions(&id).await.unwrap();
    assert_eq!((all.len(), &all[2]), (3, &first.version));
    let old = Which::Version(first.version.clone());
    let old = world.store.get(&id, &old).await.unwrap();
    assert_eq!((old.stages, &*old.value), (Vec::new(), &json("u", "1")));
    // Another process with the key finds the same id.
    let other = FilesStore::open(&world.path(""), Marker::new(&[7; 32]));
    let same = other.get(&id, &Which::current()).await.unwrap();
    assert_eq!(same.version, all[0]);
}

#[tokio::test]
async fn a_file_that_is_half_written_is_no_version() {
    let world = World::new();
    world.write("a", &json("u", "1"));
    world.get("a", AWSCURRENT).await.unwrap();
    for half in [
        "",
        "{\"username\":\"u\",\"pass",
        "{\"username\":\"u\"}",
        "[]",
    ] {
        world.write("a", half);
        let (kind, text) = world.refused("a").await;
        assert_eq!(kind, "invalid_request");
        assert!(text.contains("secrets/a is no whole credential"), "{text}");
    }
    world.write("a", &json("u", "2"));
    assert_eq!(world.password("a", AWSPREVIOUS).await.unwrap(), "u:1");
    world.write("keys/username", "u");
    let (_, text) = world.refused("keys").await;
    assert!(text.contains("\"password\""), "{text}");
    fs::write(world.path("binary"), [0xff, 0xfe]).unwrap();
    assert!(world.refused("binary").await.1.contains("UTF-8"));
    world.write("long", &"x".repeat(70_000));
    assert!(world.refused("long").await.1.contains("65536"));
}

#[tokio::test]
async fn no_name_and_no_link_leads_out_of_the_path() {
    let world = World::new();
    let outside = world.directory.path().join("outside");
    fs::write(&outside, json("u", "secret")).unwrap();
    fs::create_dir(world.path("dir")).unwrap();
    for name in [
        "",
        ".",
        "..",
        "../outside",
        "dir/../../outside",
        "/etc/passwd",
        "a/",
        "..data",
        "a/..b/c",
        "a\0",
    ] {
        let (kind, text) = world.refused(name).await;
        assert_eq!(kind, "invalid_parameter", "{name:?}: {text}");
    }
    symlink(&outside, world.path("link")).unwrap();
    symlink("../../outside", world.path("dir/password")).unwrap();
    world.write("dir/username", "u");
    fs::create_dir(world.path("swapped")).unwrap();
    symlink(world.directory.path(), world.path("swapped/..data")).unwrap();
    for name in ["link", "dir", "swapped"] {
        let (kind, text) = world.refused(name).await;
        assert_eq!(kind, "denied", "{name}: {text}");
        assert!(text.contains("symbolic link leads to"), "{text}");
        assert!(!text.contains("secret\""), "{text}");
    }
    assert_eq!(world.refused("missing").await.0, "not_found");
    // Within the path, links are as good as files.
    world.write("real", &json("u", "1"));
    symlink("real", world.path("alias")).unwrap();
    assert_eq!(world.password("alias", AWSCURRENT).await.unwrap(), "u:1");
}

#[tokio::test]
async fn files_that_others_can_read_are_told_of() {
    let world = World::new();
    let id = SecretId::new("a");
    let mode = |name: &str, mode| {
        fs::set_permissions(world.path(name), Permissions::from_mode(mode)).unwrap();
    };
    world.write("a", &json("u", "1"));
    for (file, directory, told) in [
        (0o644, 0o755, true),
        (0o644, 0o750, false),
        (0o640, 0o755, false),
    ] {
        mode("a", file);
        mode("", directory);
        world.get("a", AWSCURRENT).await.unwrap();
        let doubt = world.store.doubt(&id);
        assert_eq!(doubt.is_some(), told, "{file:o} {directory:o} {doubt:?}");
    }
}

#[tokio::test]
async fn changes_are_noticed_wherever_they_happen() {
    let world = World::new();
    let mut changes = world.store.changes().unwrap();
    let soon = Duration::from_secs(20);
    // The watcher may still be on its way to the directory.
    let steps: [&dyn Fn(); 4] = [
        &|| world.write("a", &json("u", "1")),
        &|| world.swap("k", "..1", "u", "1"),
        &|| world.swap("k", "..2", "u", "2"),
        &|| fs::remove_file(world.path("a")).unwrap(),
    ];
    for step in steps {
        changes.mark_unchanged();
        step();
        timeout(soon, changes.changed())
            .await
            .expect("noticed")
            .unwrap();
    }
    assert_eq!(world.password("k", AWSCURRENT).await.unwrap(), "u:2");
}

/// A pair that never stood in the file at one time must never be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_are_never_read_in_two_halves() {
    let world = Arc::new(World::new());
    world.swap("k", "..0", "u0", "0");
    let writer = {
        let world = world.clone();
        tokio::task::spawn_blocking(move || {
            for n in 1..400 {
                let text = n.to_string();
                world.swap("k", &format!("..{n}"), &format!("u{n}"), &text);
            }
        })
    };
    let mut reads = 0;
    while !writer.is_finished() {
        match world.password("k", AWSCURRENT).await {
            Ok(pair) => {
                let (user, password) = pair.split_once(':').unwrap();
                assert_eq!(user, format!("u{password}"));
                reads += 1;
            }
            // It changed five times while it was read.
            Err(e) => assert!(
                matches!(e, StoreError::Unavailable(_) | StoreError::NotFound(_)),
                "{e}"
            ),
        }
    }
    writer.await.unwrap();
    assert_eq!(world.password("k", AWSCURRENT).await.unwrap(), "u399:399");
    assert!(reads > 0);
}
