//! The dashboard and the rules ask only for metrics that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::common::{Cluster, Proxy, connect, eventually, new_password, repository};

fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let found: Vec<PathBuf> = fs::read_dir(repository().join(directory))
        .expect("a directory")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    assert!(!found.is_empty(), "no .{extension} in {directory}");
    found
}

/// Every text under a key of this name, however deep.
fn texts_under(key: &str, json: &Value, found: &mut Vec<String>) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == key => found.push(text.clone()),
                    _ => texts_under(key, value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|v| texts_under(key, v, found)),
        _ => {}
    }
}

/// The names of pgvalet's metrics in a PromQL expression, with the suffixes
/// that a histogram's series have taken off.
fn names(expression: &str, histograms: &BTreeSet<String>) -> BTreeSet<String> {
    expression
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.starts_with("pgvalet_"))
        .map(|word| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix))
                .filter(|base| histograms.contains(*base))
                .unwrap_or(word)
                .to_owned()
        })
        .collect()
}

fn declared(metrics: &str, kinds: &[&str]) -> BTreeSet<String> {
    metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .filter(|(_, kind)| kinds.contains(kind))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// A proxy in which everything has happened once that a panel shows.
async fn eventful(cluster: &Cluster) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), "")
        .start()
        .await;
    let session = proxy.connect("app").await;
    session.value("select 1").await;
    connect(&proxy.dsn("unknown")).await.err().expect("denied");

    // The label first: the new version fails to log in once, then is adopted.
    let password = new_password();
    let version = proxy
        .secret_put("app", &cluster.secret("app_user", &password))
        .await;
    eventually("a login failed", Duration::from_secs(20), || async {
        let failed = proxy.metric("pgvalet_server_login_failures_total", &[]);
        (failed.await > Some(0.0)).then_some(())
    })
    .await;
    cluster.alter_password("app_user", &password).await;
    proxy.wait_in_force("app", &version).await;
    session.value("select 1").await;
    eventually(
        "the old generation drained",
        Duration::from_secs(20),
        || async {
            let drained = proxy.metric("pgvalet_drain_seconds_count", &[]).await;
            (drained > Some(0.0)).then_some(())
        },
    )
    .await;
    proxy
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_that_is_asked_for_is_there() {
    let cluster = Cluster::start().await;
    let proxy = eventful(&cluster).await;
    let metrics = proxy.metrics().await;
    // Whatever has been counted or set; an event that cannot be brought about
    // here (an audit log that cannot be written) must at least be described.
    let mut known = declared(&metrics, &["counter", "gauge", "histogram"]);
    known.insert("pgvalet_audit_failures_total".to_owned());
    let histograms = declared(&metrics, &["histogram"]);
    assert!(
        histograms.contains("pgvalet_checkout_seconds"),
        "{histograms:?}"
    );

    let mut expressions = Vec::new();
    for file in files("deploy/grafana", "json") {
        let text = fs::read_to_string(&file).expect("readable");
        let dashboard: Value = serde_json::from_str(&text).expect("JSON");
        texts_under("expr", &dashboard, &mut expressions);
        texts_under("query", &dashboard, &mut expressions);
    }
    for file in files("deploy/prometheus", "yml") {
        let text = fs::read_to_string(&file).expect("readable");
        expressions.extend(
            text.lines()
                .filter(|line| line.contains("expr:"))
                .map(str::to_owned),
        );
    }
    assert!(
        expressions.len() > 15,
        "only {} expressions were found",
        expressions.len()
    );

    let asked: BTreeSet<String> = expressions
        .iter()
        .flat_map(|e| names(e, &histograms))
        .collect();
    let unknown: Vec<&String> = asked.difference(&known).collect();
    assert!(
        unknown.is_empty(),
        "nothing is called {unknown:?}; there are {known:#?}"
    );
}

/// Words in braces after a metric must be labels that the metric has.
#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_the_contract_carry_their_labels() {
    let cluster = Cluster::start().await;
    let proxy = eventful(&cluster).await;
    for (name, labels) in [
        (
            "pgvalet_client_connections",
            &["database=\"app\"", "client=\"api\""][..],
        ),
        ("pgvalet_client_waiting", &["database=\"app\""]),
        (
            "pgvalet_server_connections",
            &["database=\"app\"", "secret=\"app\"", "state=\"idle\""],
        ),
        ("pgvalet_pool_size", &["database=\"app\"", "secret=\"app\""]),
        (
            "pgvalet_database_up",
            &["database=\"app\"", "secret=\"app\""],
        ),
        ("pgvalet_ready", &[]),
        ("pgvalet_config_last_reload_successful", &[]),
        ("process_resident_memory_bytes", &[]),
        ("pgvalet_transactions_total", &["database=\"app\""]),
        ("pgvalet_queries_total", &["database=\"app\""]),
        ("pgvalet_received_bytes_total", &["database=\"app\""]),
        ("pgvalet_sent_bytes_total", &["database=\"app\""]),
        ("pgvalet_checkout_seconds_count", &[]),
        ("pgvalet_server_login_seconds_count", &[]),
        (
            "pgvalet_server_login_failures_total",
            &["database=\"app\"", "sqlstate=\"28P01\""],
        ),
        (
            "pgvalet_secret_version_info",
            &["secret=\"app\"", "version="],
        ),
        ("pgvalet_secret_age_seconds", &["secret=\"app\""]),
        (
            "pgvalet_secret_fetches_total",
            &["secret=\"app\"", "outcome=\"ok\""],
        ),
        (
            "pgvalet_adoptions_total",
            &["secret=\"app\"", "outcome=\"ok\""],
        ),
        ("pgvalet_denials_total", &["reason="]),
        ("pgvalet_audit_records_total", &[]),
        ("pgvalet_build_info", &["version="]),
    ] {
        assert!(
            proxy.metric(name, labels).await.is_some(),
            "no {name} with {labels:?}"
        );
    }
    let metrics = proxy.metrics().await;
    for never in ["127.0.0.1", "anyone", "app_user", "select"] {
        let found = metrics
            .lines()
            .find(|l| !l.starts_with('#') && l.contains(never));
        assert_eq!(found, None, "{never} is no label");
    }
}
