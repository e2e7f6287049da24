//! Backups: made under load, checked, and put back.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::cli::pgvalet;
use crate::place::{Place, shown, text};

fn refused(place: &Place, args: &[&str]) -> String {
    let output = pgvalet(&place.config(), args, "");
    assert_eq!(output.status.code(), Some(1), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_one_moment_of_the_store() {
    let place = Place::new();
    let vault = place.open().await.unwrap();
    for name in ["a", "b"] {
        let created = vault.create(name.into(), None, text("0"), None);
        created.await.unwrap();
    }
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stopping, writing) = (stop.clone(), vault.clone());
    let writer = tokio::spawn(async move {
        let mut n = 0;
        while !stopping.load(std::sync::atomic::Ordering::Relaxed) {
            n += 1;
            // b is never ahead of a, and at most one behind.
            for name in ["a", "b"] {
                let put = writing.put(name.into(), text(&n.to_string()), vec![], None);
                put.await.unwrap();
            }
        }
    });
    let file = place.path("copies/backup.db");
    for round in 0..5 {
        let args = ["store", "backup", path(&file), "--force"];
        let said = tokio::task::block_in_place(|| place.ok(&args, ""));
        assert!(said.contains("2 secrets"), "{said}");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);

        let other = Place::new();
        fs::copy(place.key(), other.key()).unwrap();
        let args = ["store", "restore", path(&file)];
        tokio::task::block_in_place(|| other.ok(&args, ""));
        let restored = other.open().await.unwrap();
        let mut values = Vec::new();
        for name in ["a", "b"] {
            let got = restored.get(name.into(), None, None).await.unwrap();
            values.push(shown(&got.value).parse::<i64>().unwrap());
        }
        assert!(
            (0..=1).contains(&(values[0] - values[1])),
            "round {round}: {values:?}"
        );
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.await.unwrap();
    // Nothing but the copy is left behind.
    assert_eq!(fs::read_dir(place.path("copies")).unwrap().count(), 1);
}

#[tokio::test]
async fn nothing_is_replaced_unless_it_is_asked_for() {
    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "one");
    let file = place.path("backup.db");
    place.ok(&["store", "backup", path(&file)], "");
    let first = fs::read(&file).unwrap();
    place.ok(&["secret", "put", "a", "--any"], "two");
    let said = refused(&place, &["store", "backup", path(&file)]);
    assert!(
        said.contains("exists") && said.contains("--force"),
        "{said}"
    );
    assert_eq!(fs::read(&file).unwrap(), first);

    let said = refused(&place, &["store", "restore", path(&file)]);
    assert!(
        said.contains("store.db exists") && said.contains("--force"),
        "{said}"
    );
    assert_eq!(place.ok(&["secret", "get", "a", "--reveal"], ""), "two\n");

    // Not while anybody has it open.
    let open = place.open().await.unwrap();
    let said = refused(&place, &["store", "restore", path(&file), "--force"]);
    assert!(said.contains("in use"), "{said}");
    let got = open.get("a".into(), None, None).await.unwrap();
    assert_eq!(shown(&got.value), "two");
    let mut changes = open.changes();
    drop((open, got));
    // Its watcher holds it for a moment longer.
    while changes.changed().await.is_ok() {}

    let said = place.ok(&["store", "restore", path(&file), "--force"], "");
    assert!(said.contains("store.db.replaced-"), "{said}");
    assert_eq!(place.ok(&["secret", "get", "a", "--reveal"], ""), "one\n");
    // The one before is a store of its own.
    let replaced = fs::read_dir(place.directory()).unwrap();
    let replaced = replaced.map(|e| e.unwrap().path());
    let replaced = replaced.filter(|p| path(p).contains(".replaced-"));
    let replaced: Vec<_> = replaced.collect();
    assert_eq!(replaced.len(), 1, "{replaced:?}");
    place.ok(&["store", "restore", path(&replaced[0]), "--force"], "");
    assert_eq!(place.ok(&["secret", "get", "a", "--reveal"], ""), "two\n");
}

#[test]
fn what_is_no_good_backup_is_not_restored() {
    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "one");
    let file = place.path("backup.db");
    place.ok(&["store", "backup", path(&file)], "");
    let whole = fs::read(&file).unwrap();
    let before = fs::read(place.database()).unwrap();
    let bad = place.path("bad.db");
    let restore = ["store", "restore", path(&bad), "--force"];
    assert!(refused(&place, &restore).contains("cannot read"));
    for length in [0, 1, 100, 4096, whole.len() / 2, whole.len() - 1] {
        fs::write(&bad, &whole[..length]).unwrap();
        let said = refused(&place, &restore);
        assert!(said.contains("bad.db"), "{length}: {said}");
    }
    // A value that does not open, in a file that is sound otherwise.
    fs::write(&bad, &whole).unwrap();
    rusqlite::Connection::open(&bad)
        .unwrap()
        .execute("UPDATE version SET value = zeroblob(40)", [])
        .unwrap();
    let said = refused(&place, &restore);
    assert!(
        said.contains("of the secret a") && said.contains("was altered"),
        "{said}"
    );
    // Under another key.
    let other = Place::new();
    other.ok(&["secret", "create", "a", "--any"], "one");
    let theirs = other.path("theirs.db");
    other.ok(&["store", "backup", path(&theirs)], "");
    let said = refused(&place, &["store", "restore", path(&theirs), "--force"]);
    assert!(said.contains("does not open the store"), "{said}");

    assert_eq!(fs::read(place.database()).unwrap(), before);
    assert_eq!(place.ok(&["secret", "get", "a", "--reveal"], ""), "one\n");
    assert!(refused(&Place::new(), &["store", "backup", "x"]).contains("no store"));
}

/// The reason for backups: a damaged store is replaced by one.
#[test]
fn a_damaged_store_is_replaced() {
    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "one");
    let file = place.path("backup.db");
    place.ok(&["store", "backup", path(&file)], "");
    fs::write(place.database(), "rubbish").unwrap();
    let said = refused(&place, &["secret", "list"]);
    assert!(said.contains("is not a pgvalet store"), "{said}");
    place.ok(&["store", "restore", path(&file), "--force"], "");
    assert_eq!(place.ok(&["secret", "get", "a", "--reveal"], ""), "one\n");
}

/// Whatever mode the backup has, nobody else can read the store.
#[test]
fn a_restored_store_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "one");
    let file = place.path("backup.db");
    place.ok(&["store", "backup", path(&file)], "");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    place.ok(&["store", "restore", path(&file), "--force"], "");
    assert_eq!(
        fs::metadata(place.database()).unwrap().mode() & 0o777,
        0o600
    );
    assert_eq!(place.ok(&["secret", "get", "a", "--reveal"], ""), "one\n");
}

/// A file of the first pgvalet: what is done to it must not need what came later.
#[test]
fn an_old_store_is_backed_up_restored_and_given_another_key() {
    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "one");
    let old = rusqlite::Connection::open(place.database()).unwrap();
    old.execute_batch(
        "PRAGMA foreign_keys = off;
         DROP TABLE access_key; DROP TABLE principal; DROP TABLE tag; DROP INDEX secret_created;
         ALTER TABLE secret DROP COLUMN kms_key; ALTER TABLE secret DROP COLUMN kind;
         ALTER TABLE secret DROP COLUMN accessed; ALTER TABLE secret DROP COLUMN rotation;
         ALTER TABLE secret DROP COLUMN rotated; ALTER TABLE secret DROP COLUMN policy;
         ALTER TABLE version DROP COLUMN kms_key; ALTER TABLE version DROP COLUMN accessed;
         PRAGMA user_version = 1;",
    )
    .unwrap();
    old.close().unwrap();
    let file = place.path("backup.db");
    let said = place.ok(&["store", "backup", path(&file)], "");
    assert!(said.contains("1 secret"), "{said}");
    place.ok(&["store", "rekey"], "");
    assert_eq!(place.ok(&["secret", "get", "a", "--reveal"], ""), "one\n");

    let other = Place::new();
    let kept = fs::read_dir(place.directory()).unwrap();
    let mut kept = kept.map(|e| e.unwrap().path());
    let old_key = kept.find(|p| path(p).contains("store.key.old-")).unwrap();
    fs::copy(old_key, other.key()).unwrap();
    other.ok(&["store", "restore", path(&file)], "");
    assert_eq!(other.ok(&["secret", "get", "a", "--reveal"], ""), "one\n");
}
