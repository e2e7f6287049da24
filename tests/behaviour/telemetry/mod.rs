//! OpenTelemetry: what a collector gets, what it never gets, and that nobody waits for it.

mod form;

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::collector::{Collector, Posted};
use crate::common::{Cluster, Proxy, ProxyBuilder, connect, eventually, new_password};

const TRACES: &str = "/v1/traces";
const METRICS: &str = "/v1/metrics";

/// A proxy of a database `app` whose secret it may rotate, and that sends to `url`.
async fn observed(cluster: &Cluster, url: &str) -> ProxyBuilder {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    cluster.execute("alter role app_user createrole").await;
    let client = |name: &str, more: &str| {
        format!("name = \"{name}\"\nnetwork = \"127.0.0.0/8\"\nusers = \"{name}\"\n{more}")
    };
    Proxy::with_one_database(&cluster.secret("app_user", &password), "")
        .client(&client("dba", "admin = true"))
        .client(&client("anyone", "databases = \"app\""))
        .environment("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        .environment("OTEL_BSP_SCHEDULE_DELAY", "100")
        .environment("OTEL_METRIC_EXPORT_INTERVAL", "300")
}

/// All spans of all requests.
fn spans(posted: &[Posted]) -> Vec<Value> {
    let of = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
    let resources = posted.iter().flat_map(|p| of(&p.body, "resourceSpans"));
    let scopes = resources.flat_map(|resource| of(&resource, "scopeSpans"));
    scopes.flat_map(|scope| of(&scope, "spans")).collect()
}

/// An attribute, whatever kind it has.
fn attribute(of: &Value, key: &str) -> String {
    let all = of["attributes"].as_array().expect("attributes");
    let found = all.iter().find(|a| a["key"] == key);
    let value = found.map_or(&Value::Null, |a| &a["value"]);
    let text = value["stringValue"].as_str().or(value["intValue"].as_str());
    text.unwrap_or_default().to_owned()
}

async fn span_named(collector: &Collector, name: &str) -> Value {
    eventually(name, Duration::from_secs(20), || async {
        let all = spans(&collector.posted(TRACES));
        all.into_iter().find(|span| span["name"] == name)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_rotations_and_metrics_reach_the_collector() {
    let (cluster, collector) = (Cluster::start().await, Collector::start());
    let mut proxy = observed(&cluster, &format!("{}/", collector.url))
        .await
        .environment("OTEL_EXPORTER_OTLP_HEADERS", "api-key=marked%2Dkey")
        .environment("OTEL_SERVICE_NAME", "orders-proxy")
        .environment("OTEL_RESOURCE_ATTRIBUTES", "team=db%20people")
        .environment("PGVALET_LOG_FORMAT", "json")
        .environment("PGVALET_LOG", "debug")
        .start()
        .await;
    let session = proxy.connect("app").await;
    session.value("select 'marked-sql-text'").await;
    let error = session.simple_query("select marked_column").await;
    assert!(error.is_err(), "Postgres quotes it in its answer");
    session.close().await;
    let span = span_named(&collector, "session app").await;
    let ended = proxy.audit_seen("session.end").await;
    let used = &proxy.audit_of("credential.use")[0]["credential"];
    let id = ended[0]["session"].as_str().expect("an id");
    assert_eq!(span["kind"], 2);
    assert_eq!(span["status"]["code"], 0);
    for (key, expected) in [
        ("pgvalet.session", id),
        ("pgvalet.client", "anyone"),
        ("pgvalet.user", "anyone"),
        ("pgvalet.transactions", "2"),
        ("db.namespace", "app"),
        ("client.address", "127.0.0.1"),
    ] {
        assert_eq!(attribute(&span, key), expected, "{key}: {span}");
    }
    let event = &span["events"][0];
    assert_eq!(event["name"], "credential.use");
    assert_eq!(attribute(event, "pgvalet.secret"), "app");
    assert_eq!(attribute(event, "pgvalet.version"), used["version"]);

    let dba = connect(&proxy.dsn_as("dba", "pgvalet"))
        .await
        .expect("let in");
    dba.simple_query("ROTATE app").await.expect("rotated");
    let rotation = span_named(&collector, "rotation app").await;
    let steps = proxy.audit_of("rotation.step");
    let recorded: Vec<&str> = steps.iter().filter_map(|r| r["step"].as_str()).collect();
    let events = rotation["events"].as_array().expect("events");
    let told: Vec<&str> = events.iter().filter_map(|e| e["name"].as_str()).collect();
    assert_eq!(told, recorded);
    assert!(told.contains(&"setSecret"), "{told:?}");
    let version = attribute(&rotation, "pgvalet.version");
    assert_eq!(
        steps.last().expect("a step")["credential"]["version"],
        version
    );

    let denied = connect(&proxy.dsn_as("stranger", "app"))
        .await
        .err()
        .expect("denied");
    let denial = &proxy.audit_seen("session.deny").await[0];
    let reference = denial["ref"].as_str().expect("a ref");
    let shown = denied.as_db_error().expect("an answer").message();
    assert!(shown.contains(reference), "{shown}");

    let metrics = eventually("metrics", Duration::from_secs(20), || async {
        let posted = collector.posted(METRICS).pop()?;
        let sent = posted.body.to_string();
        sent.contains("pgvalet_otel_spans_sent_total")
            .then_some(posted)
    })
    .await;
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.wait_exit(Duration::from_secs(20)).await.success());

    // In the published form, by its own key, and from this proxy.
    for (path, message) in [
        (TRACES, "ExportTraceServiceRequest"),
        (METRICS, "ExportMetricsServiceRequest"),
    ] {
        for posted in collector.posted(path) {
            let faults = form::faults(message, &posted.body);
            assert!(faults.is_empty(), "{faults:#?}");
            assert!(
                posted.head.contains("api-key: marked-key"),
                "{}",
                posted.head
            );
            assert!(posted.head.contains("content-type: application/json"));
        }
    }
    let resource = &metrics.body["resourceMetrics"][0]["resource"];
    assert_eq!(attribute(resource, "service.name"), "orders-proxy");
    assert_eq!(attribute(resource, "team"), "db people");
    let instance = attribute(resource, "service.instance.id");
    assert_eq!(ended[0]["proxy"], instance.as_str());
    let (sent, log) = (collector.text(), proxy.log());
    proxy.scan(&[("OTLP".to_owned(), sent.clone())]);
    assert!(
        !sent.contains("marked"),
        "SQL or the key is in what was sent"
    );
    assert!(!log.contains("marked"), "SQL or the key is in the log");

    // The log has the ids of the audit log, in fields of the same name.
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let has = |field: &str, value: &str| lines.iter().any(|l| l["fields"][field] == value);
    assert!(has("session", id), "{log}");
    assert!(has("ref", reference), "{log}");
    assert!(has("version", &version), "{log}");
}

/// A collector that fails, hangs, or is not there at all, costs spans, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_collector() {
    let (cluster, collector) = (Cluster::start().await, Collector::start());
    collector.answers(400);
    let mut proxy = observed(&cluster, &collector.url)
        .await
        .environment("OTEL_BSP_MAX_QUEUE_SIZE", "4")
        .environment("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
        .start()
        .await;
    let dropped = "pgvalet_otel_spans_dropped_total";
    let sent = "pgvalet_otel_spans_sent_total";
    let one = async || proxy.connect("app").await.close().await;
    one().await;
    // That will never be taken.
    eventually("a span is lost", Duration::from_secs(20), || async {
        (proxy.metric(dropped, &[]).await == Some(1.0)).then_some(())
    })
    .await;
    collector.answers(200);
    one().await;
    eventually("it goes on", Duration::from_secs(20), || async {
        (proxy.metric(sent, &[]).await == Some(1.0)).then_some(())
    })
    .await;
    collector.answers(0);
    for _ in 0..20 {
        one().await;
    }
    eventually("the queue is full", Duration::from_secs(20), || async {
        let lost = proxy.metric(dropped, &[]).await;
        lost.is_some_and(|lost| lost >= 10.0).then_some(())
    })
    .await;
    assert!(proxy.log().contains("takes no data"));
    proxy.signal(Signal::SIGTERM);
    // An answer would be waited for ten seconds.
    assert!(proxy.wait_exit(Duration::from_secs(9)).await.success());
}

/// Nothing is sampled, or nothing is sent at all.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_is_not_sent() {
    let (cluster, collector) = (Cluster::start().await, Collector::start());
    let mut proxy = observed(&cluster, &collector.url)
        .await
        .environment("OTEL_TRACES_SAMPLER", "always_off")
        .start()
        .await;
    proxy.connect("app").await.close().await;
    proxy.audit_seen("session.end").await;
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.wait_exit(Duration::from_secs(20)).await.success());
    assert!(collector.posted(TRACES).is_empty());
    assert!(!collector.posted(METRICS).is_empty(), "the end sends them");

    let disabled = Collector::start();
    cluster
        .execute("alter role app_user rename to before")
        .await;
    let proxy = observed(&cluster, &disabled.url)
        .await
        .environment("OTEL_SDK_DISABLED", "true")
        .start()
        .await;
    proxy.connect("app").await.close().await;
    proxy.audit_seen("session.end").await;
    assert!(!proxy.metrics().await.contains("pgvalet_otel"));
    assert!(disabled.posted(METRICS).is_empty());
}
