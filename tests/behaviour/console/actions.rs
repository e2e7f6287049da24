//! What an administrator does in the console.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio_postgres::NoTls;

use super::{column, console, pool_has, proxy};
use crate::common::binaries::client_program;
use crate::common::cli::PGVALET;
use crate::common::client::told;
use crate::common::raw::{self, Raw};
use crate::common::{cli, connect, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn pause_lets_transactions_finish_and_holds_everybody_else() {
    let (_cluster, proxy) = proxy("").await;
    let dba = console(&proxy).await;
    let inside = proxy.connect("app").await;
    inside.batch_execute("begin").await.expect("a lease");
    let pausing = tokio::spawn(async move {
        dba.simple_query("PAUSE app").await.expect("paused");
        dba
    });
    let viewer = console(&proxy).await;
    eventually("it is paused", Duration::from_secs(10), || async {
        let paused = column(&viewer, "SHOW DATABASES app", "paused").await;
        (paused == ["1"]).then_some(())
    })
    .await;
    let outside = proxy.connect("app").await;
    let waiting = tokio::spawn(async move { outside.value("select 'served'").await });
    pool_has(&viewer, "cl_waiting", "1").await;
    assert!(!pausing.is_finished(), "a transaction is open");
    assert_eq!(inside.value("select 'inside'").await, "inside");
    inside.batch_execute("commit").await.expect("committed");
    let dba = pausing.await.expect("no panic");
    assert!(column(&dba, "SHOW SERVERS app", "state").await.is_empty());
    assert!(!waiting.is_finished());
    // The other database goes on.
    assert_eq!(proxy.connect("other").await.value("select 1").await, "1");
    dba.simple_query("RESUME app").await.expect("resumed");
    assert_eq!(waiting.await.expect("no panic"), "served");
    assert_eq!(inside.value("select 'again'").await, "again");
    for (command, sqlstate) in [("RESUME app", "55000"), ("RESUME", "55000")] {
        let error = dba.simple_query(command).await.expect_err("an error");
        assert_eq!(told(&error).0, sqlstate, "{command}");
    }
}

/// Ctrl-C in psql: nothing is left half done.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_is_cancelled_is_taken_back() {
    let (_cluster, proxy) = proxy("").await;
    let dba = console(&proxy).await;
    let inside = proxy.connect("app").await;
    inside.batch_execute("begin").await.expect("a lease");
    let cancel = dba.cancel_token();
    let pausing = tokio::spawn(async move {
        let error = dba.simple_query("PAUSE app").await.expect_err("cancelled");
        (dba, told(&error).0)
    });
    let viewer = console(&proxy).await;
    eventually("it is paused", Duration::from_secs(10), || async {
        let paused = column(&viewer, "SHOW DATABASES app", "paused").await;
        (paused == ["1"]).then_some(())
    })
    .await;
    cancel.cancel_query(NoTls).await.expect("sent");
    let (dba, sqlstate) = pausing.await.expect("no panic");
    assert_eq!(sqlstate, "57014");
    assert_eq!(column(&dba, "SHOW DATABASES app", "paused").await, ["0"]);
    assert_eq!(proxy.connect("app").await.value("select 1").await, "1");
}

/// A psql or a command that is killed: nothing is left half done. Where the PAUSE was done, it
/// stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_whose_client_leaves_before_it_is_done_is_taken_back() {
    let (_cluster, proxy) = proxy("").await;
    let viewer = console(&proxy).await;
    let is_paused = async |expected: &str| {
        let what = format!("paused is {expected}");
        eventually(&what, Duration::from_secs(10), || async {
            let paused = column(&viewer, "SHOW DATABASES app", "paused").await;
            (paused == [expected]).then_some(())
        })
        .await;
    };
    viewer.simple_query("PAUSE other").await.expect("paused");
    let inside = proxy.connect("app").await;
    inside.batch_execute("begin").await.expect("a lease");
    for all in [false, true] {
        let dba = proxy.dsn_as("dba", "pgvalet");
        let sql = if all { "PAUSE" } else { "PAUSE app" };
        let mut psql = psql(&dba, sql);
        is_paused("1").await;
        psql.kill().expect("killed");
        psql.wait().expect("it ended");
        is_paused("0").await;
        let mut command = Command::new(PGVALET)
            .arg("--config")
            .arg(proxy.config())
            .arg("pause")
            .args((!all).then_some("app"))
            .spawn()
            .expect("pgvalet starts");
        is_paused("1").await;
        command.kill().expect("killed");
        command.wait().expect("it ended");
        is_paused("0").await;
    }
    // What was paused by itself stays so.
    let other = column(&viewer, "SHOW DATABASES other", "paused").await;
    assert_eq!(other, ["1"]);
    assert_eq!(proxy.connect("app").await.value("select 1").await, "1");
    let records = proxy.audit_of("admin");
    let taken_back = records.iter().filter(|r| r["action"] == "RESUME app");
    assert_eq!(taken_back.count(), 2, "{records:?}");

    inside.batch_execute("commit").await.expect("committed");
    let dba = console(&proxy).await;
    dba.simple_query("PAUSE app").await.expect("paused");
    dba.close().await;
    pool_has(&viewer, "sv_idle", "0").await;
    is_paused("1").await;
}

/// psql, which works on one command.
fn psql(dsn: &str, sql: &str) -> Child {
    client_program("psql")
        .args(["-X", dsn, "-c", sql])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("psql starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_ends_clients_and_pauses() {
    let (_cluster, proxy) = proxy("").await;
    let dba = console(&proxy).await;
    let busy = proxy.connect("app").await;
    let query = tokio::spawn(async move { busy.simple_query("select pg_sleep(60)").await });
    pool_has(&dba, "sv_active", "1").await;
    dba.simple_query("KILL app").await.expect("killed");
    let error = query.await.expect("no panic").expect_err("ended");
    assert_eq!(told(&error).0, "57P01");
    // New clients wait.
    let next = proxy.dsn("app");
    let waiting =
        tokio::spawn(async move { connect(&next).await.expect("in").value("select 2").await });
    pool_has(&dba, "cl_waiting", "1").await;
    eventually(
        "its connections are closed",
        Duration::from_secs(10),
        || async {
            column(&dba, "SHOW SERVERS app", "state")
                .await
                .is_empty()
                .then_some(())
        },
    )
    .await;
    dba.simple_query("RESUME").await.expect("resumed");
    assert_eq!(waiting.await.expect("no panic"), "2");
}

/// Who holds an old version, and away with them: two commands.
#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_an_old_version_is_named_and_removed() {
    let (cluster, proxy) = proxy("").await;
    let dba = console(&proxy).await;
    let holder = proxy.connect("app").await;
    holder.batch_execute("begin").await.expect("a lease");
    proxy.rotate(&cluster, "app_user").await;
    let id = eventually("it is named", Duration::from_secs(10), || async {
        let ids = column(&dba, "SHOW DRAINS app", "id").await;
        ids.into_iter().find(|id| !id.is_empty())
    })
    .await;
    let reasons = column(&dba, "SHOW DRAINS app", "reason").await;
    assert!(
        reasons.contains(&"in a transaction".to_owned()),
        "{reasons:?}"
    );
    dba.simple_query(&format!("KILL_CLIENT {id}"))
        .await
        .expect("killed");
    let error = holder.simple_query("select 1").await.expect_err("ended");
    assert!(error.is_closed() || told(&error).0 == "57P01", "{error:?}");
    eventually("the drain is over", Duration::from_secs(10), || async {
        let drains = column(&dba, "SHOW DRAINS app", "id").await;
        drains.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reconnect_replaces_every_connection() {
    let (_cluster, proxy) = proxy("").await;
    let dba = console(&proxy).await;
    let client = proxy.connect("app").await;
    let before = client.value("select pg_backend_pid()").await;
    let inside = proxy.connect("app").await;
    inside.batch_execute("begin").await.expect("a lease");
    dba.simple_query("RECONNECT app").await.expect("begun");
    let outdated = column(&dba, "SHOW SERVERS app", "close_needed").await;
    assert!(outdated.contains(&"1".to_owned()), "{outdated:?}");
    let waiting = tokio::spawn(async move {
        dba.simple_query("WAIT_CLOSE app").await.expect("closed");
        dba
    });
    assert_ne!(client.value("select pg_backend_pid()").await, before);
    assert!(!waiting.is_finished(), "a transaction is open");
    inside.batch_execute("commit").await.expect("committed");
    let dba = waiting.await.expect("no panic");
    let outdated = column(&dba, "SHOW SERVERS app", "close_needed").await;
    assert!(!outdated.contains(&"1".to_owned()), "{outdated:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_database_lets_nobody_in() {
    let (_cluster, proxy) = proxy("").await;
    let dba = console(&proxy).await;
    let there = proxy.connect("app").await;
    dba.simple_query("DISABLE app").await.expect("disabled");
    let refused = connect(&proxy.dsn("app")).await.err().expect("refused");
    assert_eq!(told(&refused).0, "57P03");
    assert_eq!(there.value("select 1").await, "1");
    dba.simple_query("ENABLE app").await.expect("enabled");
    proxy.connect("app").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_rotated_from_the_console() {
    let (cluster, proxy) = proxy("").await;
    let dba = console(&proxy).await;
    cluster.execute("ALTER ROLE app_user CREATEROLE").await;
    let before = column(&dba, "SHOW SECRETS app", "version").await;
    dba.simple_query("ROTATE app").await.expect("rotated");
    eventually("it is adopted", Duration::from_secs(10), || async {
        let now = column(&dba, "SHOW SECRETS app", "version").await;
        (now != before).then_some(())
    })
    .await;
    assert_eq!(proxy.connect("app").await.value("select 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_waits_for_clients_if_asked_to() {
    let (_cluster, mut proxy) = proxy("").await;
    let dba = console(&proxy).await;
    let client = proxy.connect("app").await;
    dba.simple_query("SHUTDOWN WAIT_FOR_CLIENTS")
        .await
        .expect("begun");
    eventually("nobody is accepted", Duration::from_secs(10), || async {
        connect(&proxy.dsn("app")).await.err().map(drop)
    })
    .await;
    assert_eq!(client.value("select 1").await, "1");
    // A load balancer is told, and no upgrade lets clients in again.
    assert_eq!(proxy.get("/readyz").await.0, 503);
    let refused = cli::pgvalet(&proxy.config(), &["upgrade"], "");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("the proxy is stopping"),
        "{said}"
    );
    client.close().await;
    let status = proxy.wait_exit(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}");
}

/// Whoever waits is told what for, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_is_told_what_it_waits_for() {
    let (_cluster, proxy) = proxy("pool_size = 1").await;
    let dba = console(&proxy).await;
    dba.simple_query("SET wait_notice = '50ms'")
        .await
        .expect("set");
    let holder = proxy.connect("app").await;
    holder.batch_execute("begin").await.expect("a lease");
    let mut waiter = Raw::connect(&proxy).await;
    waiter.send(&raw::query("select 1")).await;
    let (tag, said) = waiter.one().await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(tag, b'N', "{said}");
    assert!(
        said.contains("NOTICE") && said.contains("one of at most 1"),
        "{said}"
    );
    holder.batch_execute("commit").await.expect("done");
    let answer = waiter.until(b'Z').await;
    assert_eq!(raw::tags(&answer), "TDCZ");
    dba.simple_query("PAUSE app").await.expect("paused");
    waiter.send(&raw::query("select 1")).await;
    let (_, said) = waiter.one().await;
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(said.contains("is paused; waiting"), "{said}");
    dba.simple_query("RESUME app").await.expect("resumed");
    assert_eq!(raw::tags(&waiter.until(b'Z').await), "TDCZ");
}
