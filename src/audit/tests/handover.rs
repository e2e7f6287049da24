//! A log that is handed to another process, which ends.

use tokio::runtime::Handle;

use super::*;

/// The process that writes ends before it has said that a record is written: whether it had
/// written it or not, the record is there once.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_on_its_way_is_there_once() {
    for written in [true, false] {
        let (directory, path) = written_by_both(written).await;
        let lines = lines(&path);
        let with = |source: &str| lines.iter().filter(|l| l.contains(source)).count();
        for n in 0..3 {
            assert_eq!(with(&format!("10.0.0.1:{n}\"")), 1, "{written}: {lines:#?}");
        }
        drop(directory);
    }
}

async fn written_by_both(written: bool) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    let metrics = Metrics::new();
    let old = open(&path, &metrics).expect("opens");
    old.record_durably(record(0)).await.expect("written");
    let new = Audit::later(&options(&path), &Metrics::new()).expect("a thread");
    let (releases, takes) = (old.clone(), new.clone());
    let handed = tokio::task::spawn_blocking(move || {
        releases.release();
        takes.take_over()
    });
    handed.await.expect("no panic").expect("the log is free");
    let runtime = Handle::current();
    let mut new = Some(new);
    old.pass_to(Box::new(move |records| {
        let new = new.take().expect("asked once");
        runtime.block_on(async {
            if written {
                new.record_passed(records).await.expect("written");
            }
            new.close().await;
        });
        None
    }));
    old.record_durably(record(1))
        .await
        .expect("it is in the log");
    old.record_durably(record(2)).await.expect("it goes on");
    old.close().await;
    (directory, path)
}

/// What this process records waits for a log, and no other record has to come before it takes it.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_taken_again_although_nothing_is_recorded() {
    let (_directory, path, old, new) = handed_over(&Metrics::new()).await;
    old.pass_to(Box::new(|_| None));
    old.reclaim();
    new.close().await;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while old.desk.seal(true).is_none() {
        assert!(std::time::Instant::now() < deadline, "not taken in 10 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let other = open(&path, &Metrics::new());
    assert!(matches!(other, Err(AuditError::Locked(_))));
    old.close().await;
}

/// A process that ends with records which it could not write says how many.
#[tokio::test(flavor = "multi_thread")]
async fn records_that_another_log_keeps_out_are_counted() {
    let metrics = Metrics::new();
    let (_directory, path, old, new) = handed_over(&metrics).await;
    old.pass_to(Box::new(|_| None));
    for n in 1..4 {
        old.record(record(n));
    }
    old.close().await;
    assert!(metrics.render().contains("pgvalet_audit_failures_total 3"));
    new.close().await;
    assert!(!lines(&path).iter().any(|l| l.contains("10.0.0.1:2\"")));
}

/// A process that ends waits a little for one that ends with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_becomes_free_during_the_end_takes_the_records() {
    let (_directory, path, old, new) = handed_over(&Metrics::new()).await;
    let (asked, mut was_asked) = tokio::sync::mpsc::unbounded_channel();
    old.pass_to(Box::new(move |_| {
        let _ = asked.send(());
        None
    }));
    old.record(record(1));
    let closing = tokio::spawn(old.clone().close());
    was_asked.recv().await.expect("the record is passed on");
    new.close().await;
    closing.await.expect("no panic");
    let with = lines(&path)
        .iter()
        .filter(|l| l.contains("10.0.0.1:1\""))
        .count();
    assert_eq!(with, 1);
}

/// The process that has written the log first, and the one that writes it now.
async fn handed_over(metrics: &Metrics) -> (tempfile::TempDir, PathBuf, Audit, Audit) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    let old = open(&path, metrics).expect("opens");
    old.record_durably(record(0)).await.expect("written");
    let new = Audit::later(&options(&path), &Metrics::new()).expect("a thread");
    let (releases, takes) = (old.clone(), new.clone());
    let handed = tokio::task::spawn_blocking(move || {
        releases.release();
        takes.take_over()
    });
    handed.await.expect("no panic").expect("the log is free");
    (directory, path, old, new)
}
