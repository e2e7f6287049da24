//! Logs whose writing was broken off, and logs that were changed by hand.

use super::*;

/// The files of a log as they are at this moment, under another path: what a process leaves
/// that is killed.
fn killed(path: &Path, directory: &Path) -> PathBuf {
    for entry in fs::read_dir(path.parent().expect("a directory")).expect("read") {
        let entry = entry.expect("read");
        fs::copy(entry.path(), directory.join(entry.file_name())).expect("copied");
    }
    directory.join(path.file_name().expect("a name"))
}

#[tokio::test]
async fn after_a_kill_the_tree_goes_on_and_a_record_says_so() {
    let (_directory, path) = written(2).await;
    let audit = open(&path, &Metrics::new()).expect("opens");
    audit.record_durably(record(3)).await.expect("written");
    let directory = tempfile::tempdir().expect("a directory");
    let left = killed(&path, directory.path());
    whole(&check(&left), 6);
    more(&left, 1).await;
    let report = check(&left);
    whole(&report, 11);
    assert!(
        report.notes[0].contains("the log was not closed"),
        "{report:?}"
    );
    assert_eq!(report.signed, 11);
    // The checkpoint of the process before is one of the same tree.
    let note = fs::read_to_string(files::checkpoint(&path)).expect("read");
    let against = Against {
        checkpoint: Some(("kept".to_owned(), note)),
        ..Against::default()
    };
    whole(&verify(&Source::Log(left), &against).expect("read"), 11);
}

/// What was changed while no proxy ran is not taken for the truth at the next start.
#[tokio::test]
async fn a_restart_does_not_make_a_changed_log_whole() {
    let (_directory, path) = written(3).await;
    let original = lines(&path);
    let mut changed = original.clone();
    changed[2] = changed[2].replace("orders-api", "billing");
    write(&path, &changed);
    more(&path, 2).await;
    breaks(&path, 3, "record 3 was changed");
    // Nor one that was cut: the next record says so.
    write(&path, &original[..4]);
    for end in [".edge", ".checkpoint"] {
        let here = fs::read(files::beside(&path, end)).expect("read");
        fs::write(files::beside(&path, end), here).expect("written");
    }
    more(&path, 1).await;
    breaks(&path, 5, "are missing before this one");
    assert!(
        lines(&path)[4].contains("\"event\":\"gap\""),
        "{:?}",
        lines(&path)
    );
}

#[tokio::test]
async fn a_torn_line_stays_and_the_next_record_reports_it() {
    for cut in [2, 10, 100] {
        let (_directory, path) = written(0).await;
        let audit = open(&path, &Metrics::new()).expect("opens");
        for i in 0..3 {
            audit.record_durably(record(i)).await.expect("written");
        }
        let directory = tempfile::tempdir().expect("a directory");
        let left = killed(&path, directory.path());
        let bytes = fs::read(&left).expect("read");
        fs::write(&left, &bytes[..bytes.len() - cut]).expect("written");
        let report = check(&left);
        whole(&report, 3);
        assert!(report.notes[0].contains("in the middle"), "{report:?}");
        more(&left, 1).await;
        let report = check(&left);
        whole(&report, 8);
        assert!(report.notes[0].contains("broken off"), "{report:?}");
        // The report does not hold for a byte more or less.
        let mut changed = lines(&left);
        changed[3].push('x');
        write(&left, &changed);
        breaks(&left, 4, "no record");
        changed.remove(3);
        write(&left, &changed);
        breaks(&left, 4, "missing");
    }
}

/// Torn just before its line end, a record is still whole.
#[tokio::test]
async fn a_record_without_its_line_end_is_one() {
    let (_directory, path) = written(0).await;
    let audit = open(&path, &Metrics::new()).expect("opens");
    audit.record_durably(record(1)).await.expect("written");
    let directory = tempfile::tempdir().expect("a directory");
    let left = killed(&path, directory.path());
    let bytes = fs::read(&left).expect("read");
    fs::write(&left, &bytes[..bytes.len() - 1]).expect("written");
    more(&left, 1).await;
    let report = check(&left);
    whole(&report, 7);
    assert_eq!(report.notes.len(), 1, "{report:?}");
}

#[tokio::test]
async fn a_changed_line_shows() {
    let (_directory, path) = written(5).await;
    let original = lines(&path);
    let change = |line: usize, from: &str, to: &str| {
        let mut lines = original.clone();
        lines[line] = lines[line].replace(from, to);
        assert_ne!(lines, original);
        write(&path, &lines);
    };
    change(3, "10.0.0.1:2", "10.0.0.1:9");
    breaks(&path, 4, "record 4 was changed");
    change(3, "orders-api", "billing");
    breaks(&path, 4, "record 4 was changed");
    change(3, "{", "x");
    breaks(&path, 4, "no record");
    // The last one has none behind it that tells of it.
    change(7, "proxy", "Proxy");
    breaks(&path, 8, "is not the one that was signed in");
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
    arrange(&[0, 1, 0, 1]);
    breaks(&path, 3, "moved or copied");
    arrange(&[2, 3, 4]);
    breaks(&path, 1, "records 1 to 2 are missing before this one");
    arrange(&[0, 1]);
    breaks(&path, 2, "records 3 to 8 are missing after this one");
}

/// With every `prev` made right again, the next signed checkpoint shows it.
#[tokio::test]
async fn a_forged_record_shows() {
    let (_directory, path) = written(5).await;
    let mut forged = lines(&path);
    forged[2] = forged[2].replace("orders-api", "billing");
    tamper::chain_again(&mut forged);
    write(&path, &forged);
    breaks(
        &path,
        7,
        "records 1 to 6 are not those that were signed here",
    );
}
