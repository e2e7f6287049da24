//! The log as a whole: what is recorded is written, signed, and verified.

mod broken;
mod found;
mod handover;
mod segments;
mod tamper;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::metrics::Metrics;

fn open(path: &Path, metrics: &Metrics) -> Result<Audit, AuditError> {
    Audit::open_checking(&options(path), metrics, Duration::ZERO)
}

/// A log that is signed only where a test wants it.
fn options(path: &Path) -> Options {
    Options {
        checkpoint: Duration::from_secs(3600),
        ..Options::of(AuditSink::File(path.to_owned()), OnAuditFailure::Deny)
    }
}

/// A directory with a log of `records` records. Before them, the log has written its heading,
/// and behind them two checkpoints.
async fn written(records: usize) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    more(&path, records).await;
    (directory, path)
}

async fn more(path: &Path, records: usize) {
    let audit = open(path, &Metrics::new()).expect("opens");
    for i in 0..records {
        audit.record(record(i));
    }
    audit.close().await;
}

fn record(i: usize) -> Record {
    let client = ClientRef {
        source: format!("10.0.0.1:{i}").into(),
        rule: Some(("orders-api".into(), 1)),
        ..ClientRef::default()
    };
    Record::session_start("1".into(), client)
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("read");
    text.lines().map(str::to_owned).collect()
}

fn write(path: &Path, lines: &[String]) {
    fs::write(path, lines.join("\n") + "\n").expect("written");
}

fn check(path: &Path) -> Report {
    verify(&Source::Log(path.to_owned()), &Against::default()).expect("read")
}

#[track_caller]
fn whole(report: &Report, records: u64) {
    assert_eq!((&report.broken, report.records), (&None, records));
}

#[track_caller]
fn breaks(path: &Path, line: u64, reason: &str) {
    let broken = check(path).broken.expect("broken");
    assert_eq!(broken.line, line, "{broken}");
    assert!(broken.reason.contains(reason), "{broken}");
}

#[tokio::test]
async fn what_is_recorded_is_there_and_verifies() {
    let (_directory, path) = written(1000).await;
    let report = check(&path);
    whole(&report, 1003);
    assert!(report.notes.is_empty());
    assert_eq!(report.last.map(|last| last.seq), Some(1003));
    assert_eq!(report.signed, 1003);
    let first: serde_json::Value = serde_json::from_str(&lines(&path)[1]).expect("JSON");
    assert_eq!(first["event"], "session.start");
    assert_eq!(first["client"], "orders-api");
    let id = first["proxy"].as_str().expect("proxy");
    assert!(id.ends_with(&format!(":{}", std::process::id())));
    for secret in [path.clone(), files::beside(&path, ".key")] {
        let mode = fs::metadata(&secret).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn the_tree_goes_on_over_restarts() {
    let (_directory, path) = written(2).await;
    more(&path, 3).await;
    let report = check(&path);
    whole(&report, 10);
    assert!(report.notes.is_empty());
}

#[tokio::test]
async fn a_durable_record_is_in_the_file_when_its_future_resolves() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("new/audit.jsonl");
    let metrics = Metrics::new();
    let audit = open(&path, &metrics).expect("opens");
    audit.record_durably(record(1)).await.expect("written");
    assert_eq!(lines(&path).len(), 2);
    assert!(metrics.render().contains("pgvalet_audit_records_total 1"));
}

#[tokio::test]
async fn records_of_many_tasks_are_one_log() {
    many_tasks().await;
}

/// With several threads, whoever waits for a line may write it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn records_of_many_threads_are_one_log() {
    many_tasks().await;
}

async fn many_tasks() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    let audit = open(&path, &Metrics::new()).expect("opens");
    let tasks: Vec<_> = (0..20)
        .map(|i| {
            let audit = audit.clone();
            tokio::spawn(async move {
                for j in 0..20 {
                    audit.record(record(j));
                    audit
                        .record_durably(record(i * 100 + j))
                        .await
                        .expect("written");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("done");
    }
    audit.close().await;
    whole(&check(&path), 803);
}

#[tokio::test]
async fn a_closed_log_refuses() {
    let (_directory, path) = written(0).await;
    let metrics = Metrics::new();
    let audit = open(&path, &metrics).expect("opens");
    audit.clone().close().await;
    audit.record(record(1));
    let refused = audit.record_durably(record(1)).await;
    assert!(matches!(refused, Err(AuditError::Closed)));
    assert!(metrics.render().contains("pgvalet_audit_failures_total 2"));
}

#[tokio::test]
async fn what_waits_for_its_record_goes_on_without_where_the_configuration_says_so() {
    for (on_failure, admitted) in [
        (OnAuditFailure::Deny, false),
        (OnAuditFailure::Continue, true),
    ] {
        let config = Options {
            on_failure,
            ..options(Path::new("/dev/full"))
        };
        let audit = Audit::open(&config, &Metrics::new()).expect("opens");
        assert_eq!(audit.admit(record(1)).await.is_ok(), admitted);
    }
}

#[tokio::test]
async fn what_is_admitted_has_its_record_already() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    let audit = open(&path, &Metrics::new()).expect("opens");
    audit.admit(record(1)).await.expect("written");
    assert_eq!(lines(&path).len(), 2);
}

/// `/dev/full` is a disk without room.
#[tokio::test]
async fn what_cannot_be_written_is_said_and_counted() {
    let metrics = Metrics::new();
    let audit = open(Path::new("/dev/full"), &metrics).expect("opens");
    let refused = audit.record_durably(record(1)).await.expect_err("no room");
    assert!(refused.to_string().contains("/dev/full"), "{refused}");
    audit.record_durably(record(1)).await.expect_err("no room");
    assert!(metrics.render().contains("pgvalet_audit_failures_total 2"));
}

#[tokio::test]
async fn the_next_record_reports_lost_ones() {
    let (_directory, path) = written(1).await;
    let config = Options {
        on_failure: OnAuditFailure::Continue,
        ..options(&path)
    };
    let audit = Audit::open(&config, &Metrics::new()).expect("opens");
    audit.counts.lose(3, &AuditError::Full);
    audit.record_durably(record(1)).await.expect("written");
    audit.record_durably(record(2)).await.expect("written");
    audit.close().await;
    let report = check(&path);
    whole(&report, 8);
    assert_eq!(report.notes.len(), 1);
    assert!(
        report.notes[0].contains(":5: 3 records before this one"),
        "{report:?}"
    );
}

#[tokio::test]
async fn every_record_has_its_proof() {
    let (_directory, path) = written(5).await;
    for seq in 1..=8 {
        let proof = prove(&path, seq).expect("there is one");
        let line = lines(&path)[usize::try_from(seq).expect("small") - 1].clone();
        use base64::prelude::{BASE64_STANDARD, Engine};
        let extra = format!("\nextra {}\n", BASE64_STANDARD.encode(line));
        assert!(proof.contains(&extra), "{proof}");
    }
    let later = prove(&path, 9).expect_err("there is no such record");
    assert!(later.to_string().contains("is not signed yet"), "{later}");
    let text = fs::read_to_string(&path).expect("read");
    fs::write(&path, text.replacen("10.0.0.1:2", "10.0.0.1:9", 1)).expect("written");
    let broken = prove(&path, 1).expect_err("the log was changed");
    assert!(
        broken.to_string().contains("not what was signed"),
        "{broken}"
    );
}
