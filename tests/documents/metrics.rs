//! docs/METRICS.md lists the metrics as the code declares them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use crate::{read, root};

/// The text of every source file under a directory.
fn sources(directory: &Path) -> String {
    let entries = fs::read_dir(directory).expect("a directory");
    let texts = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => sources(&path),
            false => fs::read_to_string(&path).expect("a source file"),
        }
    });
    texts.collect()
}

/// Compares name, kind and labels.
#[test]
fn the_document_lists_every_metric_and_no_other() {
    let declaration = Regex::new(
        r#"Family<(\w+), (\d)> =\s*Family::new\(\s*"(pgvalet_\w+)",\s*"[^"]+",\s*\[([^\]]*)\],?\s*\);"#,
    );
    let source = sources(&root().join("src"));
    let mut declared = BTreeSet::new();
    for found in declaration.expect("a pattern").captures_iter(&source) {
        let [kind, count, name, labels] = found.extract().1;
        if name.starts_with("pgvalet_test_") {
            continue;
        }
        let labels: Vec<&str> = labels.split('"').skip(1).step_by(2).collect();
        assert_eq!(labels.len().to_string(), count, "{name}");
        let suffix = match kind {
            "Counter" => "_total",
            "Histogram" => "_seconds",
            _ => "",
        };
        assert!(name.ends_with(suffix), "{name} is a {kind}");
        let kind = kind.to_lowercase();
        let line = format!("| `{name}` | {kind} | {}", labels.join(", "));
        assert!(declared.insert(line), "{name} is declared twice");
    }
    assert!(declared.len() > 20, "{declared:?}");

    let document = read("docs/METRICS.md");
    let described: BTreeSet<String> = document
        .lines()
        .filter(|line| line.starts_with("| `pgvalet_"))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            format!("| {} | {} | {}", cells[1], cells[2], cells[3])
        })
        .collect();
    assert_eq!(declared, described);
}
