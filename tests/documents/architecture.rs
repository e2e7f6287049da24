//! docs/ARCHITECTURE.md says where something new goes, in few files that exist.

use crate::{read, root};

/// What people add most often.
const ADDED: [&str; 8] = [
    "identity kind",
    "store",
    "command",
    "metric",
    "audit sink",
    "configuration key",
    "protocol message",
    "rotation strategy",
];

#[test]
fn each_addition_has_a_row_of_at_most_four_files() {
    let document = read("docs/ARCHITECTURE.md");
    let (_, section) = document
        .split_once("## Where do I add …?")
        .expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    for added in ADDED {
        let found = rows.iter().any(|cells| cells[1].contains(added));
        assert!(found, "no row says where to add: {added}");
    }
    for cells in &rows {
        let files: Vec<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        assert!((1..=4).contains(&files.len()), "{}: {files:?}", cells[1]);
        for file in files {
            let found = root().join("src").join(file).exists() || root().join(file).exists();
            assert!(found, "{}: there is no {file}", cells[1]);
        }
    }
}
