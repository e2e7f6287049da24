//! Rules that change while their clients are connected, and what `explain`
//! says of rules.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::common::cli::{pgvalet, pgvalet_ok};
use crate::common::raw::{Raw, query, sqlstate};
use crate::common::{Cluster, Proxy, eventually, new_password};

const PATIENCE: Duration = Duration::from_secs(20);

async fn world(listen: &str) -> (Cluster, Proxy) {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "").listen(listen);
    (cluster, proxy.start().await)
}

/// Takes the rule for 127.0.0.1 away; the one for the unix socket stays.
fn take_the_rule_away(proxy: &Proxy) {
    let text = fs::read_to_string(proxy.config()).expect("the configuration");
    let gone = text.replace("127.0.0.0/8", "192.0.2.0/24");
    assert_ne!(text, gone);
    fs::write(proxy.config(), gone).expect("written");
    proxy.signal(Signal::SIGHUP);
}

async fn ended(proxy: &Proxy, count: usize) -> Vec<Value> {
    eventually("the sessions are over", PATIENCE, || async {
        let ended = proxy.audit_of("session.end");
        (ended.len() == count).then_some(ended)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_whose_rule_is_gone_end_between_transactions() {
    let (_cluster, proxy) = world("").await;
    let mut idle = Raw::connect(&proxy).await;
    idle.ask(&query("select 1")).await;
    let busy = proxy.connect("app").await;
    busy.batch_execute("begin").await.expect("begun");
    let local = crate::common::connect(&proxy.unix_dsn("app"))
        .await
        .expect("let in");
    local.value("select 1").await;

    take_the_rule_away(&proxy);
    let last = idle.until(b'E').await;
    assert_eq!(sqlstate(&last).as_deref(), Some("57P01"), "{last:?}");
    // A transaction may finish, and is told then.
    busy.batch_execute("select 1")
        .await
        .expect("in its transaction");
    let _ = busy.batch_execute("commit").await;
    eventually("the busy one is over", PATIENCE, || async {
        busy.is_closed().then_some(())
    })
    .await;
    for record in ended(&proxy, 2).await {
        assert_eq!(record["sqlstate"], "57P01", "{record}");
        assert_eq!(record["client"], "api", "{record}");
        let reason = record["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("access has ended"), "{record}");
    }
    local.value("select 1").await;
    assert!(crate::common::connect(&proxy.dsn("app")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn or_at_once_where_that_is_configured() {
    let (_cluster, proxy) = world("revoke = \"now\"").await;
    let mut busy = Raw::connect(&proxy).await;
    busy.ask(&query("begin")).await;
    take_the_rule_away(&proxy);
    let last = busy.until(b'E').await;
    assert_eq!(sqlstate(&last).as_deref(), Some("57P01"), "{last:?}");
    ended(&proxy, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_says_which_rule_decides_and_why_the_others_do_not() {
    let proxy = Proxy::builder()
        .database("app", "secret = \"app\"")
        .database("ledger", "secret = \"ledger\"")
        .client("name = \"other\"\nnetwork = [\"10.0.0.0/8\"]\ndatabases = [\"app\"]")
        .client(
            "name = \"api\"\nnetwork = [\"127.0.0.0/8\"]\ndatabases = [\"app\"]\nusers = [\"api\"]",
        )
        .prepare();
    let config = proxy.config();
    let ask = |more: &[&str]| {
        let arguments = [&["explain", "--database"], more].concat();
        pgvalet(&config, &arguments, "")
    };
    let said = pgvalet_ok(
        &config,
        &[
            "explain",
            "--database",
            "app",
            "--from",
            "127.0.0.1",
            "--user",
            "api",
            "--json",
        ],
        "",
    );
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert!(said.to_string().contains("\"api\""), "{said}");
    for (more, word) in [
        (
            &["app", "--from", "127.0.0.1", "--user", "root"][..],
            "user name",
        ),
        (
            &["ledger", "--from", "127.0.0.1", "--user", "api"],
            "ledger",
        ),
        (
            &["app", "--from", "192.0.2.1", "--user", "api"],
            "is not in",
        ),
    ] {
        let denied = ask(more);
        assert_eq!(denied.status.code(), Some(1), "{more:?}");
        let said = String::from_utf8_lossy(&denied.stdout);
        assert!(said.contains(word), "{more:?}: {said}");
        assert!(said.contains("other") && said.contains("api"), "{said}");
    }
}
