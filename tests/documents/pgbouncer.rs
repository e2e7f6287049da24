//! docs/FROM-PGBOUNCER.md has every key of PgBouncer 1.25, and is printed from the definitions by
//! which `pgvalet init` works.

use std::collections::BTreeSet;

use pgvalet::cli::init::pgbouncer::keys::{Becomes, KEYS};
use pgvalet::cli::init::pgbouncer::page;

use super::configuration::assert_printed;

/// The keys as PgBouncer 1.25 defines them (`bouncer_params` in src/main.c, the connection strings in
/// src/loader.c), a section a line.
const THEIRS: &str = include_str!("pgbouncer-1.25.txt");

/// What later versions have in addition.
const NEWER: [(&str, &str); 3] = [
    ("databases", "query_wait_timeout"),
    ("databases", "target_session_attrs"),
    ("users", "query_wait_timeout"),
];

#[test]
fn the_page_for_pgbouncer_is_what_init_does() {
    assert_printed("docs/FROM-PGBOUNCER.md", &page());
}

#[test]
fn every_key_of_pgbouncer_has_a_definition() {
    let mut theirs: BTreeSet<(&str, &str)> = THEIRS
        .lines()
        .filter_map(|line| line.split_once(": "))
        .flat_map(|(section, keys)| keys.split(' ').map(move |key| (section, key)))
        .collect();
    theirs.extend(NEWER);
    let ours: BTreeSet<(&str, &str)> = KEYS.iter().map(|k| (k.section, k.name)).collect();
    assert_eq!(ours.len(), KEYS.len(), "a key is there twice");
    assert_eq!(ours, theirs);
    assert!(theirs.len() > 100);
}

/// What is said to be a key of ours is one.
#[test]
fn every_key_of_ours_exists() {
    let known: BTreeSet<&str> = pgvalet::config::definitions()
        .into_iter()
        .map(|(_, name, _)| name)
        .collect();
    for key in KEYS {
        if let Becomes::Ours {
            example: (_, line), ..
        } = &key.becomes
            && let Some((name, _)) = line.split_once(" = ")
        {
            assert!(known.contains(name), "{}: {name}", key.name);
        }
    }
}
