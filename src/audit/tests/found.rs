//! What a log finds at its path, and what others do to its files.

use super::*;

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
async fn a_renamed_log_goes_on_in_a_new_file() {
    let (directory, path) = written(2).await;
    let old = directory.path().join("audit.jsonl.1");
    let audit = open(&path, &Metrics::new()).expect("opens");
    audit.record_durably(record(3)).await.expect("written");
    fs::rename(&path, &old).expect("renamed");
    audit.record_durably(record(4)).await.expect("written");
    audit.record_durably(record(5)).await.expect("written");
    assert_eq!((lines(&old).len(), lines(&path).len()), (6, 3));
    assert!(lines(&path)[0].contains("renamed by another program"));
    audit.close().await;
    let report = check(&path);
    whole(&report, 11);
    assert!(report.notes.is_empty());
    // The new one alone begins in the middle, and is whole if that is meant.
    let alone = Source::Files(vec![path.clone()]);
    let broken = verify(&alone, &Against::default()).expect("read").broken;
    let broken = broken.expect("broken");
    assert!(
        broken.reason.contains("records 1 to 6 are missing"),
        "{broken}"
    );
    let against = Against {
        partial: true,
        ..Against::default()
    };
    whole(&verify(&alone, &against).expect("read"), 5);
    // The old one alone ends too early: the checkpoint is beside the new one.
    let both = Source::Files(vec![path.clone(), old]);
    whole(&verify(&both, &Against::default()).expect("read"), 11);
    // A restart goes on where the new file ends.
    more(&path, 1).await;
    whole(&check(&path), 14);
}

/// logrotate's `copytruncate`.
#[tokio::test]
async fn a_log_that_is_copied_and_cut_goes_on() {
    let (directory, path) = written(2).await;
    let audit = open(&path, &Metrics::new()).expect("opens");
    audit.record_durably(record(3)).await.expect("written");
    fs::copy(&path, directory.path().join("audit.jsonl.1")).expect("copied");
    fs::write(&path, "").expect("cut");
    audit.record_durably(record(4)).await.expect("written");
    assert!(lines(&path)[0].contains("cut by another program"));
    audit.close().await;
    whole(&check(&path), 10);
}

/// What a pgvalet has left that knew no tree.
#[tokio::test]
async fn a_log_of_the_format_before_is_set_aside() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    let old = "{\"v\":1,\"seq\":1,\"event\":\"session.start\",\"client\":\"a\"}\n";
    fs::write(&path, old).expect("written");
    more(&path, 2).await;
    let aside = of_old_format(&path).expect("read");
    let [aside] = &aside[..] else {
        panic!("one: {aside:?}")
    };
    assert_eq!(fs::read_to_string(aside).expect("read"), old);
    let name = aside.file_name().expect("a name").to_string_lossy();
    assert!(
        name.starts_with("audit.v1-20") && name.ends_with("Z.jsonl"),
        "{name}"
    );
    let first: serde_json::Value = serde_json::from_str(&lines(&path)[0]).expect("JSON");
    assert_eq!(first["seq"], 1);
    let why = first["reason"].as_str().expect("a reason");
    assert!(why.contains(&*name), "{why}");
    whole(&check(&path), 5);
    // The next start has nothing to set aside.
    more(&path, 1).await;
    assert_eq!(of_old_format(&path).expect("read").len(), 1);
    whole(&check(&path), 8);
}

/// The checkpoint that was beside the log just before it was closed.
#[tokio::test]
async fn the_last_checkpoint_but_one_is_an_old_one() {
    let (_directory, path) = written(3).await;
    whole(&check(&path), 6);
    let mut chain = line::Chain::default();
    for line in &lines(&path)[..5] {
        chain.push(line.as_bytes());
    }
    let signer = key::of_log(&path).expect("the key");
    let note = checkpoint::Checkpoint::from(chain.tree()).note(&signer);
    fs::write(files::checkpoint(&path), note).expect("written");
    breaks(
        &path,
        6,
        "record 6 is not signed by the checkpoint beside it",
    );
}
