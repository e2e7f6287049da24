//! The rules on PostgreSQL: those of the other files, on one server, each store in a
//! schema of its own.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

use super::model::{label_rules_hold, steps};
use super::storage::{self, Opened};
use super::{labels, rules, secrets, text, token, versions};
use crate::cli::demo::binaries::Binaries;
use crate::cli::demo::cluster::Cluster;
use crate::cli::demo::scratch::Scratch;
use crate::secret::{AWSCURRENT, AWSPENDING};
use crate::vault::tx::Tx;
use crate::vault::{KeySource, Location};

/// How many sequences of steps are tried: each statement is a round trip.
const SEQUENCES: u32 = 8;

thread_local! {
    /// Where stores are made that a test on this thread asks for.
    static SERVER: RefCell<Option<Url>> = const { RefCell::new(None) };
    static STORES: Cell<u32> = const { Cell::new(0) };
}

/// A server of its own.
struct Server {
    /// Declared first: ended before its directory goes.
    _cluster: Cluster,
    _scratch: Scratch,
    directory: TempDir,
    port: u16,
}

#[derive(Clone)]
struct Url {
    port: u16,
    passwords: PathBuf,
    key: PathBuf,
}

impl Url {
    fn store(&self, schema: &str) -> Location {
        let url = format!(
            "postgres://keeper@127.0.0.1:{}/secrets?schema={schema}&passfile={}",
            self.port,
            self.passwords.display()
        );
        Location::parse(&url, |path| path.into()).unwrap()
    }
}

impl Server {
    async fn start() -> Self {
        let scratch = Scratch::new(false).unwrap();
        let binaries = Binaries::find().unwrap();
        let cluster = Cluster::start(&binaries, scratch.path()).await.unwrap();
        let admin = cluster.superuser("postgres").await.unwrap();
        for sql in [
            "CREATE ROLE keeper LOGIN PASSWORD 'of a test'",
            "CREATE DATABASE secrets OWNER keeper",
        ] {
            admin.batch_execute(sql).await.unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let passwords = directory.path().join("passwords");
        fs::write(&passwords, "*:*:*:keeper:of a test\n").unwrap();
        fs::set_permissions(&passwords, fs::Permissions::from_mode(0o600)).unwrap();
        Self {
            port: cluster.port,
            _cluster: cluster,
            _scratch: scratch,
            directory,
        }
    }

    fn url(&self) -> Url {
        let file = |name: &str| self.directory.path().join(name);
        Url {
            port: self.port,
            passwords: file("passwords"),
            key: file("store.key"),
        }
    }
}

/// A new store on the server of this thread, if it has one.
pub fn store() -> Option<Opened> {
    let url = SERVER.with_borrow(Clone::clone)?;
    let n = STORES.replace(STORES.get() + 1);
    let key = KeySource::File(url.key.clone());
    Some(storage::open(&url.store(&format!("s{n}")), &key).unwrap_or_else(|e| panic!("{e}")))
}

#[test]
fn the_rules_are_the_same_on_postgres() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    SERVER.set(Some(server.url()));
    for rule in [
        rules::a_secret_id_is_a_name_an_arn_or_a_partial_arn,
        rules::names_tokens_values_and_labels_have_limits,
        rules::a_repeated_request_is_harmless_and_another_value_is_refused,
        rules::current_leaves_previous_behind,
        rules::a_label_is_taken_only_from_the_version_that_is_named,
        rules::a_version_carries_twenty_labels,
        rules::a_rotation_begins_with_an_empty_version_that_may_be_filled,
        rules::a_version_is_read_by_id_and_must_match_a_stage_given_with_it,
        rules::versions_without_a_label_are_kept_for_a_day_and_a_hundred_for_ever,
        rules::a_whole_arn_means_one_secret_only,
        rules::deletion_waits_can_be_undone_and_ends,
        rules::a_value_moved_to_another_version_does_not_open,
        rules::binary_values_stay_binary,
    ] {
        rule();
    }
    assert!(STORES.get() > 10, "they were on the server");
    let config = Config {
        cases: SEQUENCES,
        failure_persistence: None,
        ..Config::default()
    };
    let held = TestRunner::new(config).run(&steps(), label_rules_hold);
    SERVER.set(None);
    held.unwrap();
}

/// Replicas that begin a rotation at the same time: one of them has.
#[test]
fn one_of_several_replicas_begins_a_rotation() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    let (url, key) = (server.url(), KeySource::File(server.url().key));
    let open = || storage::open(&url.store("s"), &key).unwrap_or_else(|e| panic!("{e}"));
    let stores: Vec<Opened> = (0..4).map(|_| open()).collect();
    let write = |store: &Opened, n: u32, begin: bool| {
        let mut writer = store.storage.writer();
        let tx = Tx::new(writer.writing()?, &store.master, 1_700_000_000_000);
        crate::vault::shared::perform(tx, |tx| match begin {
            true => versions::reserve(tx, "a", Some(&token(n))).map(drop),
            // It is complete: the version becomes the current one.
            false => {
                let secret = secrets::find_live(tx, "a")?;
                let stages = [AWSPENDING.to_owned()];
                versions::put(tx, &secret, &text("v"), &stages, Some(&token(n)))?;
                let current = versions::by_label(tx, &secret, AWSCURRENT)?.unwrap();
                let from = Some(current.token.as_str());
                labels::update(tx, &secret, AWSCURRENT, Some(&token(n)), from)?;
                labels::update(tx, &secret, AWSPENDING, None, Some(&token(n)))
            }
        })
    };
    let mut writer = stores[0].storage.writer();
    let tx = Tx::new(
        writer.writing().unwrap(),
        &stores[0].master,
        1_700_000_000_000,
    );
    super::create(&tx, "a", None, &text("first"), Some(&token(0))).unwrap();
    tx.commit().unwrap();
    drop(writer);
    for round in 0..10 {
        let begun: Vec<u32> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..)
                .zip(&stores)
                .map(|(n, store)| scope.spawn(move || (n, write(store, round * 10 + n, true))))
                .collect();
            let results = threads.into_iter().map(|thread| thread.join().unwrap());
            results
                .filter(|(_, begun)| begun.is_ok())
                .map(|(n, _)| round * 10 + n)
                .collect()
        });
        assert_eq!(begun.len(), 1, "round {round}: {begun:?}");
        write(&stores[0], begun[0], false).unwrap_or_else(|e| panic!("{e}"));
    }
}

/// A statement that failed must not become a commit that changes nothing, and is answered as
/// if it had.
#[test]
fn a_transaction_with_a_failed_statement_is_not_committed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    let (url, key) = (server.url(), KeySource::File(server.url().key));
    let store = storage::open(&url.store("s"), &key).unwrap();
    let mut writer = store.storage.writer();
    let tx = Tx::new(writer.writing().unwrap(), &store.master, 1);
    super::create(&tx, "a", None, &text("v"), None).unwrap();
    // There is no such version: the server refuses the row.
    assert!(tx.rows.set_label(1, "x", 999).is_err());
    assert!(tx.commit().is_err());
    let rows = writer.reading().unwrap();
    assert_eq!(rows.count_secrets().unwrap(), 0);
    rows.rollback().unwrap();
    // A text that the server cannot keep is a mistake of the caller.
    let tx = Tx::new(writer.writing().unwrap(), &store.master, 1);
    let refused = super::create(&tx, "b", Some("\0"), &text("v"), None).unwrap_err();
    assert_eq!(refused.aws_type(), "InvalidParameterException", "{refused}");
    drop(tx);
    drop(writer);
}
