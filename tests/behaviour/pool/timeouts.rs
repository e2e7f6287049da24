//! How long a client may take, how many there may be, and what they are told
//! when the server is not there.

use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

use crate::common::client::told;
use crate::common::raw::{Raw, query, sqlstate};
use crate::common::setup::proxy;
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

/// The session's own record of its end.
async fn ended_with(proxy: &Proxy, code: &str) {
    eventually(code, Duration::from_secs(20), || async {
        let ends = proxy.audit_of("session.end");
        ends.iter().any(|r| r["sqlstate"] == code).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_takes_too_long_is_cancelled() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        let more = format!("pool_mode = \"{mode}\"\nquery_timeout = \"1s\"");
        let proxy = proxy(&cluster, &more).await;
        let session = proxy.connect("app").await;
        let asked = Instant::now();
        let error = session
            .simple_query("select pg_sleep(60)")
            .await
            .expect_err("too long");
        assert_eq!(told(&error).0, "57014");
        // It says which limit that was, and not that the user wanted it.
        let said = error.as_db_error().expect("an error of the server");
        assert_eq!(said.message(), "canceling statement due to query_timeout");
        let hint = said.hint().unwrap_or_default();
        assert!(hint.contains("query_timeout of the database"), "{hint}");
        let took = asked.elapsed();
        assert!(
            (Duration::from_secs(1)..Duration::from_secs(15)).contains(&took),
            "{mode} mode: {took:?}"
        );
        // The session lives on, and many short queries are not a long one.
        while asked.elapsed() < took + Duration::from_millis(2500) {
            assert_eq!(session.value("select pg_sleep(0.01), 1").await, "");
        }
        // What others cancel has its own text.
        let cancel = session.cancel_token();
        let (cancelled, ()) = tokio::join!(session.simple_query("select pg_sleep(0.9)"), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            cancel.cancel_query(NoTls).await.expect("sent");
        });
        let error = cancelled.expect_err("cancelled");
        let said = error.as_db_error().expect("an error of the server");
        assert_eq!(said.message(), "canceling statement due to user request");
        // Nor does a client that thinks run a query.
        session.batch_execute("begin").await.expect("begun");
        tokio::time::sleep(Duration::from_millis(2500)).await;
        session.batch_execute("commit").await.expect("committed");
    }
}

/// A server that writes to a client that does not read takes no cancel.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_cannot_be_cancelled_ends_its_session() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "query_timeout = \"1s\"\npool_size = 1").await;
    let mut deaf = Raw::connect(&proxy).await;
    deaf.send(&query(
        "select repeat('x', 100000) from generate_series(1, 100000)",
    ))
    .await;
    ended_with(&proxy, "57014").await;
    assert_eq!(proxy.connect("app").await.value("select 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_forgotten_is_ended() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        let more =
            format!("pool_mode = \"{mode}\"\npool_size = 1\nidle_transaction_timeout = \"1s\"");
        let proxy = proxy(&cluster, &more).await;
        let mut forgetful = Raw::connect(&proxy).await;
        // Outside a transaction it may think for as long as it likes.
        forgetful.ask(&query("select 1")).await;
        tokio::time::sleep(Duration::from_millis(2500)).await;
        forgetful.ask(&query("begin; create table t(n int)")).await;
        let said = forgetful.until(b'E').await;
        assert_eq!(sqlstate(&said).as_deref(), Some("25P03"));
        ended_with(&proxy, "25P03").await;
        // Its connection is free, and its transaction undone.
        let next = proxy.connect("app").await;
        assert_eq!(next.value("select to_regclass('t')").await, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_silent_is_ended() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        let more = format!("pool_mode = \"{mode}\"\nclient_idle_timeout = \"1s\"");
        let proxy = proxy(&cluster, &more).await;
        let mut silent = Raw::connect(&proxy).await;
        // Work is not silence, however long it takes.
        silent.ask(&query("select pg_sleep(2.5)")).await;
        let said = silent.until(b'E').await;
        assert_eq!(sqlstate(&said).as_deref(), Some("57P05"));
        ended_with(&proxy, "57P05").await;
        let never_asked = Raw::connect(&proxy).await.until(b'E').await;
        assert_eq!(sqlstate(&never_asked).as_deref(), Some("57P05"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_takes_so_many_clients() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "max_clients = 2").await;
    let first = proxy.connect("app").await;
    let _second = proxy.connect("app").await;
    let error = connect(&proxy.dsn("app"))
        .await
        .err()
        .expect("one too many");
    let (code, message, _, hint) = told(&error);
    assert_eq!(code, "53300");
    assert!(message.contains("app"), "{message}");
    assert!(hint.is_some_and(|h| h.contains("max_clients")));
    first.close().await;
    eventually("there is room again", Duration::from_secs(5), || async {
        connect(&proxy.dsn("app")).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reserve_is_for_those_who_have_waited() {
    let cluster = Cluster::start().await;
    let more = "pool_size = 1\nreserve_pool_size = 1\nreserve_pool_timeout = \"1s\"\n\
         pool_wait_timeout = \"5s\"";
    let proxy = proxy(&cluster, more).await;
    let (holder, second, third) = (
        proxy.connect("app").await,
        proxy.connect("app").await,
        proxy.connect("app").await,
    );
    holder.batch_execute("begin").await.expect("a lease");
    let asked = Instant::now();
    second.batch_execute("begin").await.expect("of the reserve");
    assert!(asked.elapsed() >= Duration::from_secs(1));
    // There is no more than that.
    let error = third.batch_execute("select 1").await.expect_err("full");
    assert_eq!(told(&error).0, "53300");
    holder.batch_execute("commit").await.expect("committed");
    second.batch_execute("commit").await.expect("committed");
    let servers = async || proxy.metric("pgvalet_server_connections", &[]).await;
    eventually(
        "the reserve is given up",
        Duration::from_secs(10),
        || async { (servers().await == Some(1.0)).then_some(()) },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_told_at_once() {
    let mut cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "on_down = \"refuse\"").await;
    let session = proxy.connect("app").await;
    session.value("select 1").await;
    cluster.stop();
    let mut slowest = Duration::ZERO;
    let mut errors = 0;
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        let client = connect(&proxy.dsn("app")).await;
        let asked = Instant::now();
        let error = match client {
            Ok(client) => client.simple_query("select 1").await.err(),
            Err(error) => Some(error),
        };
        slowest = slowest.max(asked.elapsed());
        let (code, _, _, hint) = told(&error.expect("no server"));
        assert!(
            code == "08006" || code == "57P03" || code == "57P01",
            "{code}"
        );
        if code == "08006" {
            errors += 1;
            assert!(hint.is_some_and(|h| h.contains("keeps trying")));
        }
    }
    assert!(errors >= 3, "only {errors} attempts in three seconds");
    assert!(slowest < Duration::from_secs(2), "one hung for {slowest:?}");
    // It is tried again without a client's help, and nobody has to wait long.
    cluster.run().await;
    eventually("the server is back", Duration::from_secs(10), || async {
        let client = connect(&proxy.dsn("app")).await.ok()?;
        client.simple_query("select 1").await.ok()
    })
    .await;
}

/// Sessions from before a reload have the drain deadline like others.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_the_drain_deadline() {
    let cluster = Cluster::start().await;
    let (old, new) = (new_password(), new_password());
    cluster.create_role("app_user", &old).await;
    let more = "pool_mode = \"session\"\npool_size = 4\ndrain_timeout = \"1s\"\n\
         drain_deadline_action = \"terminate\"";
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &old), more)
        .start()
        .await;
    let mut holder = Raw::connect(&proxy).await;
    holder.ask(&query("select 1")).await;
    let text = std::fs::read_to_string(proxy.config()).expect("the file");
    let text = text.replace("pool_size = 4", "pool_size = 5");
    std::fs::write(proxy.config(), text).expect("written");
    proxy.signal(nix::sys::signal::Signal::SIGHUP);
    proxy.audit_seen("reload").await;
    cluster.alter_password("app_user", &new).await;
    proxy
        .secret_put("app", &cluster.secret("app_user", &new))
        .await;
    let said = holder.until(b'E').await;
    assert_eq!(sqlstate(&said).as_deref(), Some("57P01"));
}
