//! docs/CONFIGURATION.md and config/schema.json are printed from the definitions that the file
//! is read with.

use std::fs;

use super::{read, root};

/// `UPDATE_DOCS=1 cargo nextest run --test documents` prints it anew.
pub fn assert_printed(path: &str, printed: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, printed).expect("written");
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == printed,
        "{path} is out of date; UPDATE_DOCS=1 cargo nextest run --test documents"
    );
}

#[test]
fn the_configuration_reference_is_what_is_read() {
    assert_printed("docs/CONFIGURATION.md", &pgvalet::config::reference());
}

#[test]
fn the_schema_is_what_is_read() {
    assert_printed("config/schema.json", &pgvalet::config::schema());
}

#[test]
fn editors_find_the_schema_of_every_example() {
    for directory in ["config", "deploy/compose"] {
        for entry in fs::read_dir(root().join(directory)).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let text = read(&path);
            let line = text.lines().next().unwrap_or_default();
            let schema = line.strip_prefix("#:schema ").unwrap_or_default();
            let found = path.with_file_name(schema);
            assert!(found.is_file(), "{}: {line}", path.display());
        }
    }
}
