//! Either process is killed at any moment of an upgrade. At most the sessions that it has are lost,
//! no statement is done twice, and the logs say what has happened.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use regex::Regex;
use tokio::task::JoinHandle;

use super::scene::{Scene, is_alive, send};
use crate::common::{connect, eventually};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Old,
    New,
}

/// A client that writes lines one after the other: how many it was told are there, and whether
/// its session was lost.
type Writer = JoinHandle<(i64, bool)>;

fn write(dsn: &str, client: usize, stop: &Arc<AtomicBool>) -> Writer {
    let dsn = format!("{dsn} application_name=writer{client}");
    let stop = stop.clone();
    tokio::spawn(async move {
        let session = connect(&dsn).await.expect("connected");
        for line in 0.. {
            if stop.load(Relaxed) {
                return (line, false);
            }
            let sql = format!("insert into done values ({client}, {line})");
            if let Err(error) = session.batch_execute(&sql).await {
                // A line that is there already was written by a statement that was done twice.
                let code = error.code().map(|code| code.code().to_owned());
                assert_ne!(code.as_deref(), Some("23505"), "{error:?}");
                return (line, true);
            }
        }
        unreachable!("it ends before")
    })
}

/// The process that another one has started.
fn child_of(parent: u32) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|p| p.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        let of = fields.split(' ').nth(1).and_then(|of| of.parse().ok());
        of == Some(parent) && is_alive(*pid)
    })
}

/// The sessions of which the old process has said that the new one has them.
fn moved(log: &str) -> BTreeSet<String> {
    let styles = Regex::new("\u{1b}\\[[0-9;]*m").expect("a pattern");
    let id = Regex::new(r#"session="?([0-9]+)"#).expect("a pattern");
    let lines = log
        .lines()
        .filter(|l| l.contains("goes on in the other process"));
    let ids = lines.filter_map(|line| {
        let plain = styles.replace_all(line, "");
        Some(id.captures(&plain)?[1].to_owned())
    });
    ids.collect()
}

async fn kill_at(point: Duration, victim: Victim) {
    let mut scene = Scene::start("", "pool_size = 4").await;
    let table = "create table done (client int, line int, primary key (client, line)); \
                 grant select, insert on done to public";
    scene.cluster.execute(table).await;
    let stop = Arc::new(AtomicBool::new(false));
    let dsn = scene.proxy.dsn("app");
    let writers: Vec<Writer> = (0..8).map(|client| write(&dsn, client, &stop)).collect();
    let started = "8 sessions";
    eventually(started, Duration::from_secs(20), || async {
        (scene.proxy.audit_of("session.start").len() == 8).then_some(())
    })
    .await;
    let old = scene.proxy.pid();
    let began = Instant::now();
    let kill = async {
        let found = eventually("the new process", Duration::from_secs(20), || async {
            let late = victim == Victim::Old && began.elapsed() >= point;
            (child_of(old)).map(Some).or_else(|| late.then_some(None))
        })
        .await;
        tokio::time::sleep(point.saturating_sub(began.elapsed())).await;
        match victim {
            Victim::Old => send(old, Signal::SIGKILL),
            Victim::New => send(found.expect("it was found"), Signal::SIGKILL),
        }
        found
    };
    let (output, new) = tokio::join!(scene.try_upgrade(&[]), kill);
    let upgraded = output.status.success();
    let name = format!("[{victim:?} after {point:?}: {output:?}]");
    // Whoever is left accepts clients: the new process, if it was ready, else the old one.
    let serves = eventually("it is decided", Duration::from_secs(20), || async {
        match connect(&dsn).await {
            Ok(session) => Some(session.simple_query("select 1").await.is_ok()),
            Err(_) => match victim {
                Victim::Old => (!new.is_some_and(is_alive)).then_some(false),
                Victim::New => upgraded.then_some(false),
            },
        }
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.store(true, Relaxed);
    let log = scene.proxy.log();
    let moved = moved(&log);
    let starts = scene.proxy.audit_of("session.start");
    let admin = scene.cluster.superuser().await;
    for (client, writer) in writers.into_iter().enumerate() {
        let (told, lost) = writer.await.unwrap_or_else(|e| panic!("{name} {e}\n{log}"));
        let lines = format!("select count(*) from done where client = {client}");
        let lines: i64 = admin.value(&lines).await.parse().expect("a number");
        let unsure = i64::from(lost);
        let possible = told..=told + unsure;
        assert!(
            possible.contains(&lines),
            "{name} {told} told, {lines} done\n{log}"
        );
        let of = format!("writer{client}");
        let start = starts.iter().find(|r| r["application_name"] == of.as_str());
        let id = start.and_then(|r| r["session"].as_str()).expect("it began");
        let was_there = match victim {
            Victim::New => moved.contains(id),
            Victim::Old => !moved.contains(id),
        };
        assert!(
            !lost || was_there,
            "{name} session {id} was elsewhere\n{log}"
        );
    }
    let said = match victim {
        Victim::New if upgraded => "the process that has replaced this one has ended",
        Victim::New => "not upgraded, and nothing has changed",
        Victim::Old if serves => "ended without warning, and its sessions with it",
        Victim::Old => "",
    };
    // The old process may have ended by itself before, with its last session.
    let by_itself = "the process before this one has ended";
    eventually(said, Duration::from_secs(20), || async {
        let ended = match victim {
            Victim::New => !is_alive(old),
            Victim::Old => scene.proxy.log().contains(by_itself),
        };
        (ended || scene.proxy.log().contains(said)).then_some(())
    })
    .await;
    if serves && upgraded && !scene.proxy.log().contains(by_itself) {
        eventually("a gap", Duration::from_secs(20), || async {
            drop(connect(&dsn).await.expect("it serves"));
            (!scene.proxy.audit_of("gap").is_empty()).then_some(())
        })
        .await;
    }
    let twice = duplicates(&scene);
    assert!(twice.is_empty(), "{name} {twice:#?}");
    scene.find_successors();
}

/// Records that stand in the log twice.
fn duplicates(scene: &Scene) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut records = scene.proxy.audit();
    for record in &mut records {
        let fields = record.as_object_mut().expect("an object");
        fields.remove("seq");
        fields.remove("prev");
    }
    let texts = records.iter().map(ToString::to_string);
    texts.filter(|text| !seen.insert(text.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_loses_its_own_sessions_alone() {
    kill_at(Duration::from_millis(150), Victim::New).await;
    kill_at(Duration::from_millis(600), Victim::Old).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn a_process_that_is_killed_at_any_point_loses_its_own_sessions_alone_at_length() {
    for turn in 0..50 {
        let [a, b, ..] = uuid::Uuid::new_v4().into_bytes();
        let point = Duration::from_millis(u64::from(u16::from_be_bytes([a, b])) % 1200);
        let victim = if turn % 2 == 0 {
            Victim::New
        } else {
            Victim::Old
        };
        kill_at(point, victim).await;
    }
}
