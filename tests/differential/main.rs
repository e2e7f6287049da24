//! The proxy against the real thing: the same bytes of a client go straight to
//! Postgres and through pgvalet, and every message that comes back must be the
//! same. Where it is not, `differences` says why; anything else is a bug.

#[path = "../common/mod.rs"]
mod common;

mod cases_batch;
mod cases_copy;
mod cases_deallocate;
mod cases_named;
mod cases_parameters;
mod cases_portals;
mod cases_simple;
mod cases_startup;
mod cases_state;
mod cases_unnamed;
mod cases_violation;
mod differences;
mod dsl;
mod render;
mod run;
mod wire;

use std::collections::BTreeSet;

use common::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn every_sequence_is_answered_as_postgres_answers_it() {
    let cases = dsl::all();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "two sequences have one name");
    assert!(cases.len() >= 150, "only {} sequences", cases.len());
    let sent: BTreeSet<u8> = cases.iter().flat_map(dsl::Case::tags).collect();
    let missing: Vec<char> = tags(FRONTEND)
        .filter(|t| !sent.contains(&(*t as u8)))
        .collect();
    assert!(missing.is_empty(), "no sequence sends {missing:?}");

    let mut clusters = Cluster::all();
    let mut found = run::Found::default();
    let mut majors = Vec::new();
    while let Some(cluster) = clusters.next().await {
        majors.push(cluster.binaries.major);
        found.extend(run::differences(&cluster, &cases).await);
    }
    let unseen: Vec<char> = tags(BACKEND)
        .filter(|t| !found.answered.contains(t))
        .collect();
    assert!(unseen.is_empty(), "Postgres never answered {unseen:?}");
    differences::judge(&names, &majors, &found.differences);
}

/// Every message a client may send after its start-up packet.
const FRONTEND: &str = "B C D E F H P Q S X c d f p";
/// Every message a server may send then, but for CopyBoth (of replication)
/// and what no server sends any more.
const BACKEND: &str = "1 2 3 A C D E G H I K N R S T V Z c d n s t v";

fn tags(list: &str) -> impl Iterator<Item = char> {
    list.chars().filter(|c| *c != ' ')
}

#[test]
fn the_documentation_has_the_list_of_differences() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PROTOCOL.md");
    let text = std::fs::read_to_string(path).expect("the file");
    let table = differences::table();
    assert!(
        text.contains(&table),
        "docs/PROTOCOL.md has to have this table:\n\n{table}"
    );
}
