//! The proxy against the real thing: the same bytes of a client go straight to
//! Postgres and through pgvalet, and every message that comes back must be the
//! same. Where it is not, `differences` says why; anything else is a bug.

#[path = "../common/mod.rs"]
mod common;

mod cases_batch;
mod cases_copy;
mod cases_extended;
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

    let mut clusters = Cluster::all();
    let mut found = Vec::new();
    while let Some(cluster) = clusters.next().await {
        found.extend(run::differences(&cluster, &cases).await);
    }
    differences::judge(&names, &found);
}
