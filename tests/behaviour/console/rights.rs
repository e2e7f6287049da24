//! Who may use the console, and what is recorded of that.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::{column, console, proxy, try_column};
use crate::common::client::told;
use crate::common::{connect, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_look_may_not_change() {
    let (_cluster, proxy) = proxy("").await;
    let viewer = connect(&proxy.dsn_as("viewer", "pgvalet"))
        .await
        .expect("in");
    assert_eq!(column(&viewer, "SHOW STATE", "key").await[0], "active");
    for command in [
        "PAUSE app",
        "KILL",
        "RELOAD",
        "SHUTDOWN",
        "SHOW FDS",
        "SHOW AUDIT",
        "SET wait_notice = '2s'",
    ] {
        let error = viewer.simple_query(command).await.expect_err("refused");
        assert_eq!(told(&error).0, "42501", "{command}");
    }
    assert_eq!(proxy.connect("app").await.value("select 1").await, "1");
    let attempts = proxy.audit_seen("admin").await;
    assert_eq!(attempts[0]["action"], "PAUSE app");
    assert_eq!(attempts[0]["outcome"], "failure");
    assert_eq!(attempts[0]["client"], "viewer");
    assert_eq!(attempts[0]["database"], "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_gets_in_and_no_admin_into_a_database() {
    let (_cluster, proxy) = proxy("").await;
    for (user, database) in [
        ("anyone", "pgvalet"),
        ("anyone", "pgbouncer"),
        ("dba", "postgres"),
    ] {
        let refused = connect(&proxy.dsn_as(user, database))
            .await
            .err()
            .expect("refused");
        let (sqlstate, said, ..) = told(&refused);
        assert_eq!(sqlstate, "28000", "{user} {database}: {said}");
    }
    proxy
        .wait_denied(&["no_rule", "no_rule", "unknown_database"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_the_console_is_recorded_and_ends_with_its_rule() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    console.simple_query("DISABLE other").await.expect("done");
    let records = proxy.audit_seen("admin").await;
    assert_eq!(records[0]["action"], "DISABLE other");
    assert_eq!(records[0]["outcome"], "success");
    let starts = proxy.audit_of("session.start");
    let start = starts
        .iter()
        .find(|r| r["database"] == "pgvalet")
        .expect("recorded");
    assert_eq!(records[0]["session"], start["session"]);
    assert_eq!(records[0]["source"], start["source"]);
    // The rule may only look from now on, and then it is gone.
    let text = std::fs::read_to_string(proxy.config()).expect("read");
    let looks = text.replace("admin = true", "admin = \"read\"");
    std::fs::write(proxy.config(), looks).expect("written");
    console.simple_query("RELOAD").await.expect("reloaded");
    let error = console
        .simple_query("ENABLE other")
        .await
        .expect_err("refused");
    assert_eq!(told(&error).0, "42501");
    let gone = text.replace("users = \"dba\"", "users = \"nobody\"");
    std::fs::write(proxy.config(), gone).expect("written");
    proxy.signal(Signal::SIGHUP);
    eventually("it ends", Duration::from_secs(10), || async {
        let error = try_column(&console, "SHOW STATE", "key").await.err()?;
        let known = error
            .as_db_error()
            .is_none_or(|e| e.code().code() == "57P01");
        known.then_some(())
    })
    .await;
}

/// A wrong file changes nothing, and whoever asked is told why.
#[tokio::test(flavor = "multi_thread")]
async fn reload_says_what_is_wrong() {
    let (_cluster, proxy) = proxy("").await;
    let console = console(&proxy).await;
    let text = std::fs::read_to_string(proxy.config()).expect("read");
    std::fs::write(
        proxy.config(),
        text.replace("pool_", "poool_") + "\n[nonsense]\n",
    )
    .expect("written");
    let error = console.simple_query("RELOAD").await.expect_err("refused");
    assert!(told(&error).1.contains("nonsense"), "{error:?}");
    std::fs::write(
        proxy.config(),
        text.replace("[database.other]", "[database.third]")
            .replace("\"other\"", "\"third\""),
    )
    .expect("written");
    console.simple_query("RELOAD").await.expect("reloaded");
    let databases = column(&console, "SHOW DATABASES", "name").await;
    assert!(databases.contains(&"third".to_owned()), "{databases:?}");
}
