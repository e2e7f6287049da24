//! Files that are closed, compressed and removed.

use std::time::Instant;

use super::*;

/// The closed files of a log, as they are called.
fn closed(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path.parent().expect("a directory")).expect("read");
    let names = names.map(|entry| {
        entry
            .expect("read")
            .file_name()
            .into_string()
            .expect("UTF-8")
    });
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".zst")).collect();
    names.sort();
    names
}

fn small(path: &Path) -> Options {
    let segments = Segments {
        size: 2000,
        ..Segments::default()
    };
    let checkpoint = Duration::from_millis(5);
    Options {
        segments,
        checkpoint,
        ..options(path)
    }
}

/// Records until so many files are closed. Returns how many records that were.
async fn fill(audit: &Audit, path: &Path, files: usize) -> usize {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut records = 0;
    while closed(path).len() < files {
        assert!(Instant::now() < deadline, "no file is closed");
        audit
            .record_durably(record(records))
            .await
            .expect("written");
        records += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    records
}

#[tokio::test]
async fn full_files_are_closed_and_are_one_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::open(&small(&path), &Metrics::new()).expect("opens");
    let records = fill(&audit, &path, 3).await;
    audit.close().await;
    assert_eq!(closed(&path)[0], "audit.jsonl.000000000001.zst");
    let report = check(&path);
    assert_eq!(
        (report.broken.clone(), report.notes.len()),
        (None, 0),
        "{report:?}"
    );
    let last = report.last.expect("records").seq;
    assert_eq!((report.records, report.signed), (last, last));
    // All of them are there, and can be proved.
    let mut starts = 0;
    for file in segments(&path).expect("read") {
        let (mut lines, mut line) = (Lines::open(&file).expect("read"), Vec::new());
        while lines.next(&mut line).expect("read") {
            let start = line.windows(15).any(|w| w == b"\"session.start\"");
            starts += usize::from(start);
        }
    }
    assert_eq!(starts, records);
    for seq in [1, 5, last] {
        prove(&path, seq).expect("there is one");
    }
    // A restart goes on; one without the newest closed file sees that it is missing.
    more(&path, 1).await;
    assert_eq!(check(&path).broken, None);
    let name = closed(&path).pop().expect("some");
    fs::remove_file(directory.path().join(name)).expect("removed");
    let broken = check(&path).broken.expect("broken");
    assert!(
        broken.reason.contains("are missing before this one"),
        "{broken}"
    );
}

/// A process that is killed leaves a file that is not compressed, or half compressed.
#[tokio::test]
async fn a_file_that_is_left_uncompressed_is_compressed_at_the_next_start() {
    let (directory, path) = written(2).await;
    let left = directory.path().join("audit.jsonl.000000000001");
    fs::rename(&path, &left).expect("renamed");
    fs::write(files::beside(&left, ".zst.tmp"), "half").expect("written");
    let audit = Audit::open(&small(&path), &Metrics::new()).expect("opens");
    fill(&audit, &path, 1).await;
    audit.close().await;
    assert!(!left.exists() && !files::beside(&left, ".zst.tmp").exists());
    assert_eq!(check(&path).broken, None);
}

#[tokio::test]
async fn what_is_old_enough_is_removed_and_a_record_excuses_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::open(&small(&path), &Metrics::new()).expect("opens");
    fill(&audit, &path, 2).await;
    audit.close().await;
    let mut config = small(&path);
    config.segments.keep = Some(Duration::ZERO);
    config.segments.size = 1 << 20;
    let audit = Audit::open(&config, &Metrics::new()).expect("opens");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !closed(&path).is_empty() {
        assert!(Instant::now() < deadline, "nothing is removed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // At once, and not only when the log is closed.
    let report = check(&path);
    assert_eq!(report.broken, None);
    assert!(report.first.expect("records").seq > 1);
    audit.close().await;
    assert_eq!(check(&path).broken, None);
    let missing = prove(&path, 1).expect_err("it is removed");
    assert!(missing.to_string().contains("not in the log"), "{missing}");
    // Without that record nothing excuses it.
    let mut forged = lines(&path);
    let at = forged
        .iter()
        .position(|line| line.contains("segment.remove"));
    let at = at.expect("a record");
    forged[at] = forged[at].replace("\"removed\":", "\"remaved\":");
    write(&path, &forged);
    assert!(check(&path).broken.is_some());
}

/// A damaged file once counted as no part of the log: everything else was answered without it.
#[tokio::test]
async fn a_closed_file_that_cannot_be_read_stays_a_part_of_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("audit.jsonl");
    let audit = Audit::open(&small(&path), &Metrics::new()).expect("opens");
    fill(&audit, &path, 3).await;
    audit.close().await;
    let all = segments(&path).expect("read");
    for damage in [&b"(\xb5/\xfdno zstd"[..], b""] {
        let second = directory.path().join(&closed(&path)[1]);
        let whole = fs::read(&second).expect("read");
        fs::write(&second, damage).expect("written");
        if damage.is_empty() {
            fs::remove_file(&second).expect("removed");
            fs::create_dir(&second).expect("made");
        }
        assert_eq!(segments(&path).expect("read"), all);
        let why = match verify(&Source::Log(path.clone()), &Against::default()) {
            Ok(report) => report.broken.expect("broken").file.display().to_string(),
            Err(error) => error.to_string(),
        };
        assert!(why.contains(&closed(&path)[1]), "{why}");
        let _ = fs::remove_dir(&second);
        fs::write(&second, whole).expect("written");
        assert_eq!(check(&path).broken, None);
    }
}

/// Whoever cuts the end of a log, or all of it, takes the checkpoint away as well.
#[tokio::test]
async fn a_log_without_its_checkpoint_is_not_whole() {
    let (_directory, path) = written(3).await;
    let note = fs::read_to_string(files::checkpoint(&path)).expect("a checkpoint");
    let cut: Vec<String> = lines(&path).into_iter().take(3).collect();
    fs::remove_file(files::checkpoint(&path)).expect("removed");
    for left in [cut, Vec::new()] {
        write(&path, &left);
        let broken = check(&path).broken.expect("broken");
        assert!(
            broken
                .reason
                .contains("checkpoint beside the log is missing"),
            "{broken}"
        );
        let kept = Against {
            checkpoint: Some(("kept".to_owned(), note.clone())),
            ..Against::default()
        };
        let report = verify(&Source::Log(path.clone()), &kept).expect("read");
        assert!(report.broken.is_some());
    }
}
