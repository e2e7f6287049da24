//! `pool_mode = "statement"`: a server connection for a statement, and no
//! transaction of several.

use crate::common::client::told;
use crate::common::raw::{Raw, message, parse, query, run, sqlstate, sync, tags};
use crate::common::setup::proxy;
use crate::common::{Cluster, Proxy};

async fn statement_mode(cluster: &Cluster) -> Proxy {
    proxy(cluster, "pool_mode = \"statement\"\npool_size = 1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_a_transaction() {
    let cluster = Cluster::start().await;
    let proxy = statement_mode(&cluster).await;
    let (a, b) = (proxy.connect("app").await, proxy.connect("app").await);
    a.batch_execute("create table st (n int); set work_mem = '7MB'")
        .await
        .expect("one query of two statements");
    let insert = a
        .prepare("insert into st values ($1)")
        .await
        .expect("prepared");
    let select = b
        .prepare("select count(*) from st")
        .await
        .expect("prepared");
    for n in 1..=3 {
        a.execute(&insert, &[&n]).await.expect("inserted");
        let count: i64 = b.query_one(&select, &[]).await.expect("counted").get(0);
        assert_eq!(count, i64::from(n));
    }
    assert_eq!(a.value("show work_mem").await, "7MB");
    assert_eq!(b.value("show work_mem").await, "4MB");
    // A transaction inside one query is one of the server's own.
    a.batch_execute("begin; insert into st values (4); commit")
        .await
        .expect("one query");
    assert_eq!(b.value("select count(*) from st").await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_several_statements_is_refused() {
    let cluster = Cluster::start().await;
    let proxy = statement_mode(&cluster).await;
    let keeper = proxy.connect("app").await;
    keeper
        .batch_execute("create table st (n int)")
        .await
        .expect("a table");

    let session = proxy.connect("app").await;
    let error = session.batch_execute("begin").await.expect_err("refused");
    let (code, text, _, hint) = told(&error);
    assert_eq!(code, "0A000");
    assert!(text.contains("statement mode"), "{text}");
    assert!(hint.is_some_and(|h| h.contains("pool_mode")));
    // The one server connection is whole, and rolled back.
    assert_eq!(keeper.value("select count(*) from st").await, "0");

    // Nothing of what comes behind it in one write is acknowledged.
    let batch = |sql: &str| [parse("", sql), run(""), sync()].concat();
    let simple = [query("begin"), query("insert into st values (1)")].concat();
    let extended = [batch("begin"), batch("insert into st values (1)")].concat();
    for bytes in [simple, extended, query("begin; insert into st values (1)")] {
        let mut raw = Raw::connect(&proxy).await;
        raw.send(&bytes).await;
        let seen = raw.until(b'E').await;
        assert_eq!(sqlstate(&seen).as_deref(), Some("0A000"));
        assert!(!tags(&seen).contains('Z'), "{}", tags(&seen));
        assert_eq!(keeper.value("select count(*) from st").await, "0");
    }
    assert_eq!(keeper.value("select count(*) from st").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_is_a_statement() {
    let cluster = Cluster::start().await;
    let proxy = statement_mode(&cluster).await;
    let mut raw = Raw::connect(&proxy).await;
    raw.ask(&query("create table st (n int)")).await;
    raw.send(&query("copy st from stdin")).await;
    raw.until(b'G').await;
    let data = [message(b'd', b"1\n2\n"), message(b'c', b"")].concat();
    assert_eq!(tags(&raw.ask(&data).await), "CZ");
    let seen = raw.ask(&query("copy st to stdout")).await;
    assert_eq!(tags(&seen), "HddcCZ");
}
