//! Clients that no rule lets in learn nothing: every denial reads the same.

use std::process::Stdio;
use std::time::Duration;

use futures_util::future::join_all;

use crate::common::client::told;
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

async fn denial(dsn: &str) -> (String, String, Option<String>, Option<String>) {
    match connect(dsn).await {
        Ok(_) => panic!("{dsn} got in"),
        Err(error) => told(&error),
    }
}

/// Databases that each keep this machine out for a reason of their own.
async fn guarded(cluster: &Cluster) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let mut builder = Proxy::builder().secret("app", &cluster.secret("app_user", &password));
    for name in ["open", "far", "locked", "picky"] {
        builder = builder.database(name, "secret = \"app\"");
    }
    builder
        .client("name = \"elsewhere\"\nnetwork = [\"10.0.0.0/8\", \"2001:db8::/32\"]\ndatabases = [\"far\"]")
        .client("name = \"somebody\"\nunix_user = 4242\ndatabases = [\"locked\"]")
        .client("name = \"alice\"\nnetwork = [\"127.0.0.0/8\"]\nusers = [\"alice\"]\ndatabases = [\"picky\"]")
        .client("name = \"api\"\nnetwork = [\"127.0.0.0/8\"]\ndatabases = [\"open\"]")
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_denial_has_the_same_words() {
    let cluster = Cluster::start().await;
    let proxy = guarded(&cluster).await;
    let refused = [
        ("outside the network", proxy.dsn("far")),
        ("an unknown database", proxy.dsn("no_such_database")),
        ("another unix user, by the socket", proxy.unix_dsn("locked")),
        ("a unix rule, by TCP", proxy.dsn("locked")),
        ("a network rule, by the socket", proxy.unix_dsn("open")),
        (
            "a user name that is not allowed",
            proxy.dsn_as("bob", "picky"),
        ),
        ("the upstream's own database name", proxy.dsn("postgres")),
    ];
    let first = denial(&refused[0].1).await;
    assert_eq!(first.0, "28000");
    for name in ["far", "app_user", "elsewhere"] {
        assert!(
            !first.1.contains(name),
            "{first:?} tells about the configuration"
        );
    }
    for (why, dsn) in &refused {
        assert_eq!(denial(dsn).await, first, "{why}");
    }

    let denied = proxy.audit_of("session.deny");
    assert_eq!(denied.len(), refused.len() + 1, "each has a record");
    assert!(
        denied
            .iter()
            .all(|r| r["sqlstate"] == "28000" && r["reason"].is_string()),
        "{denied:?}"
    );
    let counted = proxy.metric("pgvalet_denials_total", &[]).await;
    assert_eq!(counted, Some(denied.len() as f64));
    assert!(
        proxy.audit_of("credential.use").is_empty(),
        "nobody reached Postgres"
    );

    // And those who may, do.
    assert_eq!(
        proxy
            .connect("open")
            .await
            .value("select current_user")
            .await,
        "app_user"
    );
    let alice = connect(&proxy.dsn_as("alice", "picky"))
        .await
        .expect("alice may");
    assert_eq!(alice.value("select current_user").await, "app_user");
}

/// A password that a client sends is nobody's business and no way in.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_opens_nothing() {
    let cluster = Cluster::start().await;
    let proxy = guarded(&cluster).await;
    let with_password = format!("{} password=letmein", proxy.dsn("far"));
    assert_eq!(
        denial(&with_password).await,
        denial(&proxy.dsn("far")).await
    );
}

/// A person sees one line of psql that says why, and is not asked for a password.
#[tokio::test(flavor = "multi_thread")]
async fn psql_shows_the_denial() {
    let cluster = Cluster::start().await;
    let proxy = guarded(&cluster).await;
    let output = crate::common::binaries::client_program("psql")
        .args(["-X", "-w", "-c", "select 1", &proxy.dsn("no_such_database")])
        .stdin(Stdio::null())
        .output()
        .expect("psql starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("FATAL:") && !said.contains("fe_sendauth"),
        "{said}"
    );
}

/// Thousands of bad starts: each is answered, all are in the log by their number, and
/// nobody else of the same address has to wait for that to be over.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_denials_leaves_no_debt() {
    const FLOOD: u64 = 2000;
    let cluster = Cluster::start().await;
    let proxy = guarded(&cluster).await;
    let nowhere = proxy.dsn("no_such_database");
    for _ in 0..FLOOD / 100 {
        let denied = join_all((0..100).map(|_| denial(&nowhere))).await;
        assert!(denied.iter().all(|d| d.0 == "28000"));
    }
    // Whoever comes now, in vain or not, is answered like the first.
    for _ in 0..20 {
        assert_eq!(denial(&proxy.dsn("far")).await.0, "28000");
        assert_eq!(proxy.connect("open").await.value("select 1").await, "1");
    }
    let all = FLOOD + 20;
    let counted = proxy.metric("pgvalet_denials_total", &[]).await;
    assert_eq!(counted, Some(all as f64));
    let denied = eventually("all are told of", Duration::from_secs(30), || async {
        let denied = proxy.audit_of("session.deny");
        let count = |r: &serde_json::Value| r["count"].as_u64().unwrap_or(1);
        (denied.iter().map(count).sum::<u64>() == all).then_some(denied)
    })
    .await;
    assert!(denied.len() < FLOOD as usize / 2, "{}", denied.len());
    let summary = denied.iter().find(|r| r["count"].is_u64());
    let summary = summary.expect("a summary");
    assert_eq!(summary["source"], "127.0.0.1");
    assert_eq!(summary["reason"], "unknown_database");
}
