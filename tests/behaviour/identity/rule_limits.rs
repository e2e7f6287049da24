//! Limits of a rule: how many clients, how much of a pool, and when.

use std::fs;
use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta, Utc};
use nix::sys::signal::Signal;

use crate::common::client::told;
use crate::common::raw::{Raw, sqlstate};
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

const PATIENCE: Duration = Duration::from_secs(20);

/// A rule for the user name `a`, and one for everybody else.
async fn world(of_a: &str, of_database: &str) -> (Cluster, Proxy) {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    cluster.execute("ALTER ROLE app_user REPLICATION").await;
    let network = "network = [\"127.0.0.0/8\"]\ndatabases = [\"app\"]";
    let proxy = Proxy::builder()
        .secret("app", &cluster.secret("app_user", &password))
        .database("app", &format!("secret = \"app\"\n{of_database}"))
        .client(&format!("name = \"a\"\nusers = [\"a\"]\n{network}\n{of_a}"))
        .client(&format!("name = \"b\"\n{network}"))
        .start()
        .await;
    (cluster, proxy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_may_have_so_many_clients() {
    let (_cluster, proxy) = world("max_clients = 2", "").await;
    let a = proxy.dsn_as("a", "app");
    let first = connect(&a).await.expect("the first");
    let _second = connect(&a).await.expect("the second");
    let error = connect(&a).await.map(|_| ()).expect_err("the third");
    assert_eq!(told(&error).0, "53300");
    let b = connect(&proxy.dsn_as("b", "app")).await.expect("another's");
    assert_eq!(b.value("select 1").await, "1");
    let denied = proxy.audit_seen("session.deny").await;
    assert_eq!(denied[0]["reason"], "too_many_clients", "{denied:?}");
    assert_eq!(denied[0]["client"], "a", "{denied:?}");
    // A place that has become free is given away.
    drop(first);
    eventually("a place", PATIENCE, || async { connect(&a).await.ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_may_hold_so_much_of_a_pool() {
    let limits = "pool_size = 4\npool_wait_timeout = \"1s\"";
    let (_cluster, proxy) = world("pool_size = 1", limits).await;
    let a = proxy.dsn_as("a", "app");
    let holder = connect(&a).await.expect("let in");
    holder.batch_execute("begin").await.expect("begun");
    // The pool has three more, but not for this rule's clients.
    let other = connect(&a).await.expect("let in");
    let error = other.simple_query("select 1").await.expect_err("no share");
    assert_eq!(told(&error).0, "53300");
    // Nor for a connection of its own.
    let mut raw = Raw::open(&proxy).await;
    let body = b"\0\x03\0\0user\0a\0database\0app\0replication\0database\0\0";
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    raw.send(&[&length[..], body].concat()).await;
    let refused = raw.until(b'E').await;
    assert_eq!(sqlstate(&refused).as_deref(), Some("53300"), "{refused:?}");
    let b = connect(&proxy.dsn_as("b", "app")).await.expect("another's");
    b.batch_execute("begin; select 1; commit").await.expect("b");
    holder.batch_execute("commit").await.expect("committed");
    let third = connect(&a).await.expect("let in");
    assert_eq!(third.value("select 1").await, "1");
}

/// A rule that is in force until a moment, whether it said so when the session
/// began or a reload brought it.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_with_their_rule_s_time() {
    let (_cluster, proxy) = world("", "").await;
    let session = connect(&proxy.dsn_as("a", "app")).await.expect("let in");
    session.value("select 1").await;
    let staying = connect(&proxy.dsn_as("b", "app")).await.expect("let in");
    let until = (Utc::now() + TimeDelta::seconds(4)).to_rfc3339_opts(SecondsFormat::Millis, true);
    let text = fs::read_to_string(proxy.config()).expect("the configuration");
    let line = format!("users = [\"a\"]\nvalid = {{ until = \"{until}\" }}");
    let text = text.replace("users = [\"a\"]", &line);
    // Whoever is `a` and comes later is nobody's client.
    let text = text.replace("name = \"b\"", "name = \"b\"\nusers = [\"b\"]");
    fs::write(proxy.config(), text).expect("written");
    proxy.signal(Signal::SIGHUP);
    proxy.audit_seen("reload").await;
    let late = connect(&proxy.dsn_as("a", "app")).await.expect("in time");
    for session in [session, late] {
        let ended = || async { session.simple_query("select 1").await.err() };
        eventually("its time is over", PATIENCE, ended).await;
    }
    let error = connect(&proxy.dsn_as("a", "app")).await.map(|_| ());
    assert_eq!(told(&error.expect_err("too late")).0, "28000");
    assert_eq!(staying.value("select 1").await, "1");
    let ended = eventually("two records", PATIENCE, || async {
        let ended = proxy.audit_of("session.end");
        (ended.len() == 2).then_some(ended)
    })
    .await;
    for record in ended {
        let reason = record["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("rule_not_valid_now"), "{record}");
        assert_eq!(record["client"], "a", "{record}");
    }
}
