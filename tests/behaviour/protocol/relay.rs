//! The relay: simple and extended protocol, errors, pipelines, large results,
//! prepared statements over shared server connections.

use std::process::Stdio;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};

use crate::common::binaries::client_program;
use crate::common::client::told;
use crate::common::memory::resident_kib;
use crate::common::setup::proxy;
use crate::common::{Cluster, Session};

const MODES: [&str; 2] = ["transaction", "session"];

#[tokio::test(flavor = "multi_thread")]
async fn an_error_keeps_the_connection() {
    let cluster = Cluster::start().await;
    for mode in MODES {
        let proxy = proxy(&cluster, &format!("pool_mode = \"{mode}\"\npool_size = 1")).await;
        let session = proxy.connect("app").await;
        let error = session
            .simple_query("select nothing_there")
            .await
            .expect_err("no such column");
        assert_eq!(told(&error).0, "42703");
        let error = session
            .query("select 1 / $1::int4", &[&0_i32])
            .await
            .expect_err("a division");
        assert_eq!(told(&error).0, "22012");
        let error = session.prepare("selekt").await.expect_err("a syntax error");
        assert_eq!(told(&error).0, "42601");
        assert_eq!(session.value("select 'still here'").await, "still here");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_transaction_is_failed_until_it_ends() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let session = proxy.connect("app").await;
    session.batch_execute("begin").await.expect("begin");
    session
        .batch_execute("select 1/0")
        .await
        .expect_err("a division by zero");
    let error = session
        .batch_execute("select 1")
        .await
        .expect_err("the transaction is aborted");
    assert_eq!(told(&error).0, "25P02");
    session.batch_execute("rollback").await.expect("rollback");
    assert_eq!(session.value("select 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_query_and_many_statements_in_one() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "").await;
    let session = proxy.connect("app").await;
    assert_eq!(session.value("").await, "", "an empty query has no row");
    let rows = session
        .query("", &[])
        .await
        .expect("an empty extended query");
    assert!(rows.is_empty());
    let messages = session
        .simple_query("select 1; select 2; select 3")
        .await
        .expect("three");
    let rows = messages
        .iter()
        .filter(|m| matches!(m, tokio_postgres::SimpleQueryMessage::Row(_)));
    assert_eq!(rows.count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_answered_in_order() {
    let cluster = Cluster::start().await;
    for mode in MODES {
        let proxy = proxy(&cluster, &format!("pool_mode = \"{mode}\"\npool_size = 2")).await;
        let session = proxy.connect("app").await;
        let statement = session
            .prepare("select $1::int4 * 2")
            .await
            .expect("prepared");
        let parameters: Vec<i32> = (0..500).collect();
        // Polled together, tokio-postgres sends all of them before it reads.
        let answers = try_join_all(parameters.iter().map(|n| {
            let (session, statement) = (&session, &statement);
            async move { session.query_one(statement, &[n]).await }
        }))
        .await
        .expect("all are answered");
        for (n, row) in answers.iter().enumerate() {
            assert_eq!(
                usize::try_from(row.get::<_, i32>(0)),
                Ok(n * 2),
                "in {mode} mode"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_pipeline_is_that_querys_alone() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 2").await;
    let session = proxy.connect("app").await;
    let statement = session
        .prepare("select 100 / $1::int4")
        .await
        .expect("prepared");
    let divisors = [1, 0, 2, 0, 4];
    let answers = join_all(divisors.iter().map(|n| {
        let (session, statement) = (&session, &statement);
        async move { session.query_one(statement, &[n]).await }
    }))
    .await;
    let results: Vec<Option<i32>> = answers
        .into_iter()
        .map(|answer| answer.ok().map(|row| row.get(0)))
        .collect();
    assert_eq!(results, [Some(100), None, Some(50), None, Some(25)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_pass_both_ways() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "").await;
    let session = proxy.connect("app").await;
    let rows = session
        .query(
            "select n, repeat('x', 200) from generate_series(1, 50000) n",
            &[],
        )
        .await
        .expect("10 MB of rows");
    assert_eq!(rows.len(), 50_000);
    assert!(
        rows.iter()
            .enumerate()
            .all(|(i, row)| row.get::<_, i32>(0) as usize == i + 1)
    );
    let large = "pgvalet".repeat(2_000_000);
    let row = session
        .query_one("select length($1::text), $1::text", &[&large])
        .await
        .expect("a single value of 14 MB, there and back");
    assert_eq!(row.get::<_, i32>(0) as usize, large.len());
    assert!(row.get::<_, &str>(1) == large, "it came back as it went");
}

/// A client that reads slowly must slow the server down, not fill the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_costs_no_memory() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "").await;
    let before = resident_kib(&proxy).await;
    let mut psql = client_program("psql")
        .args([
            "-X",
            "-w",
            "-q",
            "-c",
            "copy (select repeat('x', 1000) from generate_series(1, 300000)) to stdout",
        ])
        .arg(proxy.dsn("app"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("psql starts");
    // 300 MB are on offer; nobody reads psql's output, so psql stops reading.
    crate::common::eventually(
        "Postgres waits for the client",
        Duration::from_secs(20),
        || async {
            let waiting = "select count(*) from pg_stat_activity where wait_event = 'ClientWrite'";
            (cluster.superuser().await.value(waiting).await == "1").then_some(())
        },
    )
    .await;
    let after = resident_kib(&proxy).await;
    assert!(
        after < before + 32 * 1024,
        "{before} KiB grew to {after} KiB"
    );
    psql.kill().expect("psql is there");
    psql.wait().expect("psql ends");
    assert_eq!(proxy.connect("app").await.value("select 1").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_statements_outlive_the_lease_they_were_made_in() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_mode = \"transaction\"\npool_size = 2").await;
    let sessions: Vec<Session> =
        join_all((0..6).map(|_| async { proxy.connect("app").await })).await;
    // The drivers all call their statements by the same names (s0, s1, …), but
    // mean different texts by them.
    let statements = try_join_all(sessions.iter().enumerate().map(|(i, session)| async move {
        session.prepare(&format!("select {i} + $1::int4")).await
    }))
    .await
    .expect("prepared");
    for round in 0..20 {
        let pairs = sessions.iter().zip(&statements);
        let answers = try_join_all(
            pairs.map(async |(session, statement)| session.query_one(statement, &[&round]).await),
        )
        .await
        .expect("whichever server connection they get");
        for (i, row) in (0_i32..).zip(&answers) {
            assert_eq!(row.get::<_, i32>(0), i + round);
        }
    }
}

/// A table changes under a statement that several clients share. The one that
/// runs into it is told what Postgres tells, once; whoever parses the text
/// afresh from then on gets a plan of the table as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_another_shape_is_made_anew() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_mode = \"transaction\"\npool_size = 1").await;
    cluster
        .execute("create table shape (a int); insert into shape values (1); grant all on shape to public")
        .await;
    let (first, second) = (proxy.connect("app").await, proxy.connect("app").await);
    let text = "select * from shape";
    let old = first.prepare(text).await.expect("prepared");
    second.query(text, &[]).await.expect("the same text");
    assert_eq!(first.query_one(&old, &[]).await.expect("a row").len(), 1);
    cluster
        .execute("alter table shape add column b int default 2")
        .await;
    let error = first.query_one(&old, &[]).await.expect_err("another shape");
    assert_eq!(told(&error).0, "0A000");
    for _ in 0..4 {
        for session in [&first, &second] {
            let new = session.prepare(text).await.expect("prepared again");
            let row = session.query_one(&new, &[]).await.expect("the new shape");
            assert_eq!(row.get::<_, i32>(1), 2);
        }
    }
}

/// The transaction keeps the only server connection, and others wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_stays_on_its_server_connection() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_mode = \"transaction\"\npool_size = 1").await;
    let (first, second) = (proxy.connect("app").await, proxy.connect("app").await);
    first
        .batch_execute("begin; create table t (n int); insert into t values (1)")
        .await
        .expect("begun");
    let mut waits = Box::pin(second.value("select count(*) from pg_tables where tablename = 't'"));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waits).await;
    assert!(
        early.is_err(),
        "it got into another client's transaction: {early:?}"
    );
    first.batch_execute("commit").await.expect("committed");
    assert_eq!(waits.await, "1");
}
