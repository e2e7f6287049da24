//! docs/CONFIGURATION.md is printed from the definitions that the file is read with.

use std::fs;

use super::root;

/// `UPDATE_DOCS=1 cargo nextest run --test documents` prints it anew.
#[test]
fn the_configuration_reference_is_what_is_read() {
    let path = root().join("docs/CONFIGURATION.md");
    let printed = pgvalet::config::reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &printed).expect("written");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == printed,
        "docs/CONFIGURATION.md is out of date; UPDATE_DOCS=1 cargo nextest run --test documents"
    );
}
