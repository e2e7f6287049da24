//! The log as a whole: what is recorded is written, chained, and verified.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::metrics::Metrics;

fn open(path: &Path, metrics: &Metrics) -> Result<Audit, AuditError> {
    let config = Options {
        sink: AuditSink::File(path.to_owned()),
        on_failure: OnAuditFailure::Deny,
    };
    Audit::open_checking(&config, metrics, Duration::ZERO)
}

/// A directory with a log of `records` records.
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
    verify(&[path.to_owned()]).expect("read")
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
    whole(&report, 1000);
    assert!(report.notes.is_empty());
    assert_eq!(report.last.map(|last| last.seq), Some(1000));
    let first: serde_json::Value = serde_json::from_str(&lines(&path)[0]).expect("JSON");
    assert_eq!(first["event"], "session.start");
    assert_eq!(first["client"], "orders-api");
    let id = first["proxy"].as_str().expect("proxy");
    assert!(id.ends_with(&format!(":{}", std::process::id())));
    let mode = fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn the_chain_goes_on_over_restarts() {
    let (_directory, path) = written(2).await;
    more(&path, 3).await;
    let report = check(&path);
    whole(&report, 5);
    assert!(report.notes.is_empty());
}

#[tokio::test]
async fn a_durable_record_is_in_the_file_when_its_future_resolves() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("new/audit.jsonl");
    let metrics = Metrics::new();
    let audit = open(&path, &metrics).expect("opens");
    audit.record_durably(record(1)).await.expect("written");
    assert_eq!(lines(&path).len(), 1);
    assert!(metrics.render().contains("pgvalet_audit_records_total 1"));
}

#[tokio::test]
async fn records_of_many_tasks_are_one_chain() {
    many_tasks().await;
}

/// With several threads, whoever waits for a line may write it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn records_of_many_threads_are_one_chain() {
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
    whole(&check(&path), 800);
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
            sink: AuditSink::File("/dev/full".into()),
            on_failure,
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
    assert_eq!(lines(&path).len(), 1);
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
async fn only_one_process_writes_a_log() {
    let (_directory, path) = written(1).await;
    let metrics = Metrics::new();
    let _first = open(&path, &metrics).expect("opens");
    assert!(matches!(open(&path, &metrics), Err(AuditError::Locked(_))));
}

#[tokio::test]
async fn another_file_is_not_appended_to() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notes.txt");
    fs::write(&path, "dear diary\n").expect("written");
    assert!(matches!(
        open(&path, &Metrics::new()),
        Err(AuditError::Foreign(_))
    ));
    assert_eq!(lines(&path), ["dear diary"]);
}

#[tokio::test]
async fn a_rotated_log_goes_on_in_a_new_file() {
    let (directory, path) = written(2).await;
    let old = directory.path().join("audit.jsonl.1");
    let audit = open(&path, &Metrics::new()).expect("opens");
    audit.record_durably(record(3)).await.expect("written");
    fs::rename(&path, &old).expect("renamed");
    audit.record_durably(record(4)).await.expect("written");
    audit.record_durably(record(5)).await.expect("written");
    assert_eq!((lines(&old).len(), lines(&path).len()), (3, 2));
    let report = verify(&[path.clone(), old.clone()]).expect("read");
    whole(&report, 5);
    assert!(report.notes.is_empty());
    // The new one alone is whole too; a note says that its beginning is missing.
    let report = check(&path);
    whole(&report, 2);
    assert!(report.notes[0].contains("begins with record 4"));
    // A restart goes on where the new file ends.
    audit.close().await;
    more(&path, 1).await;
    whole(&verify(&[old, path]).expect("read"), 6);
}

#[tokio::test]
async fn a_torn_line_stays_and_the_next_record_reports_it() {
    let (_directory, path) = written(3).await;
    let bytes = fs::read(&path).expect("read");
    for cut in [2, 10, 200] {
        fs::write(&path, &bytes[..bytes.len() - cut]).expect("written");
        let report = check(&path);
        whole(&report, 2);
        assert!(report.notes[0].contains("in the middle"), "{report:?}");
        more(&path, 2).await;
        let report = check(&path);
        whole(&report, 4);
        assert!(report.notes[0].contains("broken off"), "{report:?}");
        assert_eq!(lines(&path).len(), 5);
        // The report does not hold for a byte more or less.
        let mut changed = lines(&path);
        changed[2].push('x');
        write(&path, &changed);
        breaks(&path, 3, "no record");
        changed.remove(2);
        write(&path, &changed);
        breaks(&path, 3, "missing");
    }
    // Torn just before its line end, a record is still whole.
    fs::write(&path, &bytes[..bytes.len() - 1]).expect("written");
    more(&path, 1).await;
    let report = check(&path);
    whole(&report, 4);
    assert!(report.notes.is_empty());
}

#[tokio::test]
async fn a_changed_line_shows() {
    let (_directory, path) = written(5).await;
    let original = lines(&path);
    let change = |from: &str, to: &str| {
        let mut lines = original.clone();
        lines[2] = lines[2].replace(from, to);
        assert_ne!(lines, original);
        write(&path, &lines);
    };
    change("10.0.0.1:2", "10.0.0.1:9");
    breaks(&path, 3, "was changed");
    change("orders-api", "billing");
    breaks(&path, 3, "was changed");
    change("{", "x");
    breaks(&path, 3, "no record");
}

/// A record that was changed before a restart is found after it.
#[tokio::test]
async fn a_changed_last_line_shows_after_more_was_written() {
    let (_directory, path) = written(3).await;
    let mut changed = lines(&path);
    changed[2] = changed[2].replace("orders-api", "billing");
    write(&path, &changed);
    more(&path, 2).await;
    breaks(&path, 3, "was changed");
}

/// With the hash made right again, the chain breaks one line later.
#[tokio::test]
async fn a_forged_line_shows() {
    let (_directory, path) = written(3).await;
    let mut forged = lines(&path);
    let (mut out, mut chain) = (Vec::new(), line::Chain::new());
    for i in 0..2 {
        out.clear();
        let now = chrono::Utc::now();
        let notes = line::Notes::default();
        line::append(&mut out, &mut chain, "h:1", now, notes, &record(i)).expect("serialises");
    }
    let link = line::Link::read(out.trim_ascii_end()).expect("a line");
    assert_eq!(link.seq, 2);
    forged[1] = String::from_utf8(out).expect("UTF-8").trim_end().to_owned();
    write(&path, &forged);
    breaks(&path, 2, "does not follow");
}

#[tokio::test]
async fn a_missing_a_moved_and_a_copied_line_show() {
    let (_directory, path) = written(5).await;
    let original = lines(&path);
    let arrange = |order: &[usize]| {
        let lines: Vec<String> = order.iter().map(|i| original[*i].clone()).collect();
        write(&path, &lines);
    };
    arrange(&[0, 1, 3, 4]);
    breaks(&path, 3, "record 3 is missing");
    arrange(&[0, 4]);
    breaks(&path, 2, "records 2 to 4 are missing");
    arrange(&[0, 1, 1, 2]);
    breaks(&path, 3, "moved or copied");
    arrange(&[0, 2, 1, 3]);
    breaks(&path, 2, "record 2 is missing");
    // A new beginning in the middle of a file is none.
    arrange(&[0, 1, 0, 1]);
    breaks(&path, 3, "moved or copied");
    // A note tells of a missing beginning; a missing end cannot be known.
    arrange(&[2, 3, 4]);
    let report = check(&path);
    whole(&report, 3);
    assert!(report.notes[0].contains("begins with record 3"));
    arrange(&[0, 1]);
    whole(&check(&path), 2);
}

#[tokio::test]
async fn the_next_record_reports_lost_ones() {
    let (_directory, path) = written(0).await;
    let config = Options {
        sink: AuditSink::File(path.clone()),
        on_failure: OnAuditFailure::Continue,
    };
    let audit = Audit::open(&config, &Metrics::new()).expect("opens");
    audit.counts.lose(3, &AuditError::Full);
    audit.record_durably(record(1)).await.expect("written");
    audit.record_durably(record(2)).await.expect("written");
    let report = check(&path);
    whole(&report, 2);
    assert_eq!(report.notes.len(), 1);
    assert!(
        report.notes[0].contains(":1: 3 records before this one"),
        "{report:?}"
    );
}
