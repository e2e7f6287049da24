//! The store on disk: keys, damage, other processes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::secret::AWSCURRENT;
use crate::vault::{OpenError, Vault};

const CANARY: &str = "canary-7b1f-hunter2-password";

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join("data/deep/store.db")
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("keys/store.key")
    }

    async fn open(&self) -> Result<Vault, OpenError> {
        Vault::open(&self.database(), &self.key()).await
    }

    async fn refused(&self) -> String {
        let before = self.files();
        let error = self.open().await.err().expect("must not open").to_string();
        assert_eq!(self.files(), before, "nothing is overwritten");
        error
    }

    /// Contents by path, without SQLite's index of its log, which any reader makes.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut directories = vec![self.directory.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if path
                    .extension()
                    .is_none_or(|e| e != "db-shm" && e != "db-wal")
                {
                    let content = fs::read(&path).unwrap();
                    files.push((path, content));
                }
            }
        }
        files.sort();
        files
    }

    /// A store with one value, closed.
    async fn filled() -> Self {
        let place = Self::new();
        let vault = place.open().await.unwrap();
        let name = "a".to_owned();
        vault.create(name, None, text(CANARY), None).await.unwrap();
        place.close(vault).await;
        place
    }

    /// Waits until SQLite has removed its log: the last connection is closed.
    async fn close(&self, vault: Vault) {
        drop(vault);
        let log = self.database().with_extension("db-wal");
        wait_until(|| !log.exists()).await;
    }
}

async fn wait_until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("the condition within ten seconds");
}

async fn value(vault: &Vault, id: &str) -> String {
    let version = vault
        .get(id.into(), None, Some(AWSCURRENT.into()))
        .await
        .unwrap_or_else(|e| panic!("{e}"));
    match version.value {
        Value::Text(text) => text.to_string(),
        Value::Binary(_) => panic!("text was put"),
    }
}

#[tokio::test]
async fn everything_is_made_private_and_found_again() {
    let place = Place::filled().await;
    let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(place.database()), 0o600);
    assert_eq!(mode(place.key()), 0o600);
    assert_eq!(mode(place.directory.path().join("data")), 0o700);
    assert_eq!(mode(place.directory.path().join("data/deep")), 0o700);
    assert_eq!(place.files().len(), 2, "no drafts are left");
    let vault = place.open().await.unwrap();
    assert_eq!(value(&vault, "a").await, CANARY);
}

#[tokio::test]
async fn no_value_is_in_any_file() {
    let place = Place::new();
    let vault = place.open().await.unwrap();
    let name = "a".to_owned();
    vault.create(name, None, text(CANARY), None).await.unwrap();
    let scan = || {
        let directory = place.database().parent().unwrap().to_owned();
        let mut seen = 0;
        for entry in fs::read_dir(directory).unwrap() {
            let content = fs::read(entry.unwrap().path()).unwrap();
            seen += content.len();
            for part in [CANARY, &CANARY[..12], &CANARY[12..]] {
                assert!(!content.windows(part.len()).any(|w| w == part.as_bytes()));
            }
        }
        assert!(seen > 4096, "there was something to look at");
    };
    scan(); // The value is in the log now,
    place.close(vault).await;
    scan(); // and in the file now.
}

#[tokio::test]
async fn a_missing_key_is_an_error_where_there_are_values() {
    let place = Place::filled().await;
    let key = fs::read(place.key()).unwrap();
    fs::remove_file(place.key()).unwrap();
    let error = place.refused().await;
    assert!(
        error.contains("store.key is missing") && error.contains("backup"),
        "{error}"
    );

    fs::write(place.key(), key).unwrap();
    fs::set_permissions(place.key(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(place.refused().await.contains("chmod 600"));
    fs::set_permissions(place.key(), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(value(&place.open().await.unwrap(), "a").await, CANARY);
}

#[tokio::test]
async fn a_store_without_values_gets_a_new_key_and_its_other_user_takes_it() {
    let place = Place::new();
    let old = place.open().await.unwrap();
    fs::remove_file(place.key()).unwrap();
    let new = place.open().await.unwrap();
    let name = "a".to_owned();
    old.create(name, None, text("v"), None).await.unwrap();
    assert_eq!(value(&new, "a").await, "v");
    assert_eq!(value(&place.open().await.unwrap(), "a").await, "v");
}

#[tokio::test]
async fn another_key_does_not_open_the_store() {
    let place = Place::filled().await;
    let other = Place::filled().await;
    fs::copy(other.key(), place.key()).unwrap();
    let error = place.refused().await;
    assert!(error.contains("does not open the store"), "{error}");
}

#[tokio::test]
async fn damage_is_named_and_nothing_is_overwritten() {
    let whole = fs::read(Place::filled().await.database()).unwrap();
    let place = Place::filled().await;
    for length in [0, 1, 100, 1024, 4096, whole.len() / 2, whole.len() - 4096] {
        fs::write(place.database(), &whole[..length]).unwrap();
        let error = place.refused().await;
        assert!(
            error.contains("store.db") && error.contains("restore"),
            "{length}: {error}"
        );
    }
    let mut altered = whole.clone();
    altered[..16].fill(b'x');
    fs::write(place.database(), &altered).unwrap();
    assert!(place.refused().await.contains("is not a pgvalet store"));

    fs::write(place.database(), b"some other file, not a database at all").unwrap();
    assert!(place.refused().await.contains("is not a pgvalet store"));
    fs::remove_file(place.database()).unwrap();
    rusqlite::Connection::open(place.database())
        .unwrap()
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    assert!(place.refused().await.contains("is not a pgvalet store"));
}

/// SQLite has no checksums, so that not every altered byte keeps a store from
/// opening; but a value is the one that was put there, or an error.
#[tokio::test]
async fn an_altered_byte_never_becomes_another_value() {
    let place = Place::filled().await;
    let whole = fs::read(place.database()).unwrap();
    let (mut refused_to_open, mut refused_to_decrypt) = (0, 0);
    for offset in (0..whole.len()).step_by(53) {
        let mut altered = whole.clone();
        altered[offset] ^= 0x21;
        fs::write(place.database(), &altered).unwrap();
        let database = place.database().into();
        let Ok(opened) = storage::open(&database, &place.key().as_path().into()) else {
            refused_to_open += 1;
            assert!(
                fs::read(place.database()).unwrap() == altered,
                "offset {offset}"
            );
            continue;
        };
        let mut writer = opened.storage.writer();
        let tx = Tx::new(writer.reading().unwrap(), &opened.master, 1);
        match get(&tx, "a", None, Some(AWSCURRENT)).map(|v| v.value) {
            Ok(value) => assert!(value == text(CANARY), "offset {offset}"),
            Err(VaultError::DecryptionFailure(_)) => refused_to_decrypt += 1,
            Err(_) => {}
        }
    }
    assert!(refused_to_open > 0 && refused_to_decrypt > 0);
}

#[tokio::test]
async fn a_store_of_a_newer_pgvalet_is_left_alone() {
    let place = Place::filled().await;
    let connection = rusqlite::Connection::open(place.database()).unwrap();
    let known: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    connection
        .pragma_update(None, "user_version", known + 1)
        .unwrap();
    drop(connection);
    assert!(place.refused().await.contains("newer pgvalet"));
}

#[tokio::test]
async fn a_log_without_its_store_is_not_replayed_into_a_new_one() {
    let place = Place::filled().await;
    fs::remove_file(place.database()).unwrap();
    fs::write(place.database().with_extension("db-wal"), b"left over").unwrap();
    assert!(place.refused().await.contains("log"));
}

#[tokio::test]
async fn several_open_a_new_store_at_once_and_agree() {
    let place = Place::new();
    let opened = futures_util::future::join_all((0..8).map(|_| place.open())).await;
    for (n, vault) in opened.iter().enumerate() {
        let vault = vault.as_ref().unwrap_or_else(|e| panic!("{e}"));
        let name = format!("s{n}");
        vault.create(name, None, text("v"), None).await.unwrap();
    }
    let vault = place.open().await.unwrap();
    assert_eq!(vault.list(false).await.unwrap().len(), 8);
    assert_eq!(place.files().len(), 2);
}

#[tokio::test]
async fn writers_wait_for_each_other() {
    let place = Place::new();
    let (one, two) = (place.open().await.unwrap(), place.open().await.unwrap());
    let name = "a".to_owned();
    one.create(name, None, text("v"), None).await.unwrap();
    let puts = (0..40).map(|n| {
        let vault = if n % 2 == 0 { &one } else { &two };
        vault.put("a".into(), text(&format!("v{n}")), vec![], None)
    });
    for put in futures_util::future::join_all(puts).await {
        put.unwrap();
    }
    let description = two.describe("a".into()).await.unwrap();
    assert_eq!(description.versions.len(), 2, "one current, one previous");
}

#[tokio::test]
async fn changes_are_told_at_once_here_and_soon_elsewhere() {
    let place = Place::new();
    let (one, two) = (place.open().await.unwrap(), place.open().await.unwrap());
    let (mut here, mut elsewhere) = (one.changes(), two.changes());
    let name = "a".to_owned();
    one.create(name, None, text("v"), None).await.unwrap();
    assert!(here.has_changed().unwrap());
    tokio::time::timeout(Duration::from_secs(5), elsewhere.changed())
        .await
        .expect("told within five seconds")
        .unwrap();
    assert_eq!(value(&two, "a").await, "v");

    // The watcher tells nobody about commits of its own process a second time.
    here.mark_unchanged();
    let quiet = tokio::time::timeout(Duration::from_millis(600), here.changed());
    assert!(quiet.await.is_err());

    // Dropped stores close: their watchers do not keep them.
    drop((one, two));
    let closed = tokio::time::timeout(Duration::from_secs(5), elsewhere.changed());
    assert!(closed.await.expect("closed within five seconds").is_err());
}
