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
