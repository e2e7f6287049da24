//! A writer that is killed: what it was told is written is there afterwards,
//! and the labels are consistent.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pgvalet::secret::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, Deletion, VersionId};
use pgvalet::vault::Vault;

use crate::cli::PGVALET;
use crate::common::store_server::Server;
use crate::place::{Place, location, shown, text};

const ROUNDS: u64 = 200;
const DIRECTORY: &str = "PGVALET_TEST_WRITES_TO";
const FIRST: &str = "PGVALET_TEST_WRITES_FROM";
const STORE: &str = "PGVALET_TEST_STORE";

fn version(n: u64) -> VersionId {
    VersionId::new(format!("{n:032}"))
}

/// The process that `acknowledged_writes_survive_a_kill` kills, which is no test.
/// It puts version after version, each the one or the other way a secret changes,
/// and says so when the store has answered.
#[test]
#[ignore = "the writer that a test starts and kills"]
fn writer() {
    let (Ok(directory), Ok(first)) = (std::env::var(DIRECTORY), std::env::var(FIRST)) else {
        return;
    };
    let (directory, first): (PathBuf, u64) = (directory.into(), first.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = location(&std::env::var(STORE).unwrap());
        let vault = Vault::open(store, &directory.join("store.key"))
            .await
            .unwrap();
        for n in first.. {
            let value = text(&format!("value {n}"));
            let put = |stages| vault.put("a".into(), value, stages, Some(version(n)));
            if n % 2 == 0 {
                put(vec![]).await.unwrap();
            } else {
                // As a rotation does it.
                put(vec![AWSPENDING.into()]).await.unwrap();
                let moved = vault.update_version_stage(
                    "a".into(),
                    AWSCURRENT.into(),
                    Some(version(n)),
                    Some(version(n - 1)),
                );
                moved.await.unwrap();
            }
            println!("{n}");
            let extra = format!("extra{n}");
            vault
                .create(extra.clone(), None, text("x"), None)
                .await
                .unwrap();
            vault.delete(extra, Deletion::Now).await.unwrap();
        }
    });
}

fn start(place: &Place, first: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "durability::writer", "--ignored", "--nocapture"])
        .env(DIRECTORY, place.directory())
        .env(FIRST, first.to_string())
        .env(STORE, place.store())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The numbers among what the writer says.
fn told(lines: impl Iterator<Item = std::io::Result<String>>) -> impl Iterator<Item = u64> {
    lines
        .map_while(Result::ok)
        .filter_map(|line| line.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_kill() {
    survive(&Place::new(), ROUNDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_kill_on_postgres() {
    let server = Server::start().await;
    survive(&Place::on(&server.url("s")), ROUNDS / 4).await;
}

async fn survive(place: &Place, rounds: u64) {
    let vault = place.open().await.unwrap();
    let created = vault.create("a".into(), None, text("value 0"), Some(version(0)));
    created.await.unwrap();
    drop(vault);
    let mut last = 0;
    let mut written = 0;
    for round in 0..rounds {
        let first = last + 1;
        let mut writer = start(place, first);
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        // Some rounds end before anything is answered, and at any phase of a
        // write after that.
        let wanted = round % 4;
        let mut acknowledged: Vec<u64> = told(lines.by_ref()).take(wanted as usize).collect();
        let phase = Duration::from_micros(round * 7919 % 6000);
        let until = Instant::now() + phase;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        acknowledged.extend(told(lines));
        assert!(
            acknowledged.len() as u64 >= wanted,
            "round {round}: the writer failed"
        );

        let vault = place
            .open()
            .await
            .unwrap_or_else(|e| panic!("round {round}: {e}"));
        for n in &acknowledged {
            let found = vault.get("a".into(), Some(version(*n)), None).await;
            let found = found.unwrap_or_else(|e| panic!("round {round}, version {n}: {e}"));
            assert_eq!(shown(&found.value), format!("value {n}"));
        }
        let answered = acknowledged.last().copied().unwrap_or(last);
        let described = vault.describe("a".into()).await.unwrap();
        let holders = |label: &str| -> Vec<VersionId> {
            let with = |labels: &Vec<String>| labels.iter().any(|l| l == label);
            let versions = described.versions.iter().filter(|(_, labels)| with(labels));
            versions.map(|(id, _)| id.clone()).collect()
        };
        let current = holders(AWSCURRENT);
        assert_eq!(current.len(), 1, "round {round}: one version is current");
        let n: u64 = current[0].as_str().parse().unwrap();
        assert!(
            n == answered || n == answered + 1,
            "round {round}: {n}, {answered} was answered"
        );
        if n > 0 {
            assert_eq!(holders(AWSPREVIOUS), [version(n - 1)], "round {round}");
        }
        let got = vault.get("a".into(), None, None).await.unwrap();
        assert_eq!(shown(&got.value), format!("value {n}"), "round {round}");
        let pending = holders(AWSPENDING);
        assert!(
            pending.is_empty() || pending == [version(n + 1)] || pending == [version(n)],
            "round {round}"
        );
        // A rotation that was cut short is ended, as its owner would.
        if let [pending] = pending.as_slice()
            && *pending != version(n)
        {
            let id = "a".to_owned();
            let moved = vault.update_version_stage(
                id,
                AWSCURRENT.into(),
                Some(pending.clone()),
                Some(version(n)),
            );
            moved.await.unwrap();
            last = n + 1;
        } else {
            last = n;
        }
        written += acknowledged.len();
    }
    assert!(written as u64 > rounds, "{written} writes were answered");
}

/// Writes through the command line are durable too: a process a write.
#[test]
fn a_command_that_said_so_has_written() {
    let place = Place::new();
    place.ok(&["secret", "create", "a", "--any"], "first");
    for round in 0..24_u64 {
        let token = format!("{round:032}");
        let mut child = Command::new(PGVALET)
            .arg("--config")
            .arg(place.config())
            .args(["secret", "put", "a", "--any", "--token", &token, "--file"])
            .arg({
                let file = place.path("value");
                std::fs::write(&file, format!("value {round}")).unwrap();
                file
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(round * 4));
        let _ = child.kill();
        let mut said = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        child.wait().unwrap();
        if said.trim() == token {
            let found = place.ok(&["secret", "get", "a", "--version", &token, "--reveal"], "");
            assert_eq!(found, format!("value {round}\n"));
        }
        place.ok(&["secret", "describe", "a"], "");
    }
    place.ok(&["secret", "put", "a", "--any"], "last");
    assert_eq!(place.ok(&["secret", "get", "a", "--reveal"], ""), "last\n");
}
