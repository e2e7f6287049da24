//! A server that goes away is waited for: by clients that wait, and by those that come.

use std::time::Duration;

use tokio_postgres::Error;

use crate::common::client::told;
use crate::common::raw::{Raw, query, sqlstate};
use crate::common::setup::proxy;
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

const SOON: Duration = Duration::from_secs(20);

/// Waits until so many clients wait for a server connection.
async fn waiting(proxy: &Proxy, clients: f64) {
    eventually("they wait", SOON, || async {
        let waiting = proxy.metric("pgvalet_client_waiting", &[]).await;
        (waiting == Some(clients)).then_some(())
    })
    .await;
}

fn said(message: &(u8, Vec<u8>)) -> String {
    String::from_utf8_lossy(&message.1).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_wait_for_a_server_that_is_down() {
    let mut cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "").await;
    let idle = proxy.connect("app").await;
    idle.value("select 1").await;
    let mut raw = Raw::connect(&proxy).await;
    cluster.stop();
    // One that is there, one that comes, and one that looks at what it is told.
    let there = tokio::spawn(async move { idle.simple_query("select 1").await.map(|_| ()) });
    let dsn = proxy.dsn("app");
    let comes = tokio::spawn(async move {
        let session = connect(&dsn).await?;
        session.simple_query("select 1").await.map(|_| ())
    });
    raw.send(&query("select 'served'")).await;
    let notice = raw.until(b'N').await;
    assert_eq!(notice.len(), 1, "nothing before it");
    let notice = said(&notice[0]);
    assert!(notice.contains("\"app\" cannot be reached"), "{notice}");
    assert!(notice.contains("for up to 2m"), "{notice}");
    waiting(&proxy, 3.0).await;
    cluster.run().await;
    let answer = raw.until(b'Z').await;
    assert_eq!(sqlstate(&answer), None);
    assert!(answer.iter().any(|m| said(m).contains("served")));
    there.await.expect("no panic").expect("served");
    comes.await.expect("no panic").expect("served");
}

/// Nobody has logged in yet, so that it is not known what a client is to be told of its
/// server.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_its_handshake_waits_too() {
    let mut cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    cluster.stop();
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "").start_unready().await;
    let mut raw = Raw::open(&proxy).await;
    raw.start_up().await;
    let told = raw.until(b'N').await;
    assert_eq!(told.len(), 2, "AuthenticationOk, and a notice");
    assert!(said(&told[1]).contains("cannot be reached"), "{told:?}");
    // One that leaves takes its place in the queue with it.
    let mut leaves = Raw::open(&proxy).await;
    leaves.start_up().await;
    waiting(&proxy, 2.0).await;
    drop(leaves);
    waiting(&proxy, 1.0).await;
    // What it says before it is greeted is not lost.
    raw.send(&query("select 'early'")).await;
    cluster.run().await;
    raw.until(b'Z').await;
    let answer = raw.until(b'Z').await;
    assert!(answer.iter().any(|m| said(m).contains("early")));
}

/// Drivers of people who want no notices may not expect any.
#[tokio::test(flavor = "multi_thread")]
async fn who_wants_no_notices_gets_none() {
    let mut cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "").await;
    let mut raw = Raw::connect(&proxy).await;
    raw.ask(&query("set client_min_messages = warning")).await;
    raw.ask(&query("select 1")).await;
    cluster.stop();
    raw.send(&query("select 1")).await;
    let mut other = Raw::connect(&proxy).await;
    other.send(&query("select 1")).await;
    other.until(b'N').await;
    assert!(raw.is_silent());
    cluster.run().await;
    let answer = raw.until(b'Z').await;
    assert!(answer.iter().all(|(tag, _)| *tag != b'N'), "{answer:?}");
}

async fn error_of(proxy: &Proxy) -> Option<Error> {
    match connect(&proxy.dsn("app")).await {
        Ok(session) => session.simple_query("select 1").await.err(),
        Err(error) => Some(error),
    }
}

/// Whoever has waited in vain is told what for.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_too_long_names_its_cause() {
    let mut cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_wait_timeout = \"1s\"").await;
    assert!(error_of(&proxy).await.is_none());
    cluster.stop();
    let (code, message, _, hint) = told(&error_of(&proxy).await.expect("no server"));
    assert_eq!(code, "08006", "{message}");
    assert!(message.contains("cannot be reached"), "{message}");
    assert!(hint.is_some_and(|h| h.contains("keeps trying")));
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_may_wait_and_no_more() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1\nmax_waiting = 1").await;
    let (holder, next, third) = (
        proxy.connect("app").await,
        proxy.connect("app").await,
        proxy.connect("app").await,
    );
    holder.batch_execute("begin").await.expect("a lease");
    let next = tokio::spawn(async move { next.value("select 'served'").await });
    waiting(&proxy, 1.0).await;
    let error = third.simple_query("select 1").await.expect_err("full");
    let (code, message, _, hint) = told(&error);
    assert_eq!(code, "53300", "{message}");
    assert!(hint.is_some_and(|h| h.contains("max_waiting")));
    holder.batch_execute("commit").await.expect("committed");
    assert_eq!(next.await.expect("no panic"), "served");
}

/// A server that has no room is there, and is waited for all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_is_waited_for() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let limit = async |n: i32| {
        let sql = format!("alter role app_user connection limit {n}");
        cluster.execute(&sql).await;
    };
    limit(0).await;
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "").start_unready().await;
    let dsn = proxy.dsn("app");
    let comes = tokio::spawn(async move {
        let session = connect(&dsn).await?;
        session.simple_query("select 1").await.map(|_| ())
    });
    waiting(&proxy, 1.0).await;
    limit(-1).await;
    comes.await.expect("no panic").expect("served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_reads_as_that() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "dbname = \"nowhere\"")
        .start_unready()
        .await;
    let error = error_of(&proxy).await.expect("no database");
    let (code, message, _, hint) = told(&error);
    assert_eq!(code, "3D000", "{message}");
    assert!(message.contains("\"app\""), "{message}");
    assert!(hint.is_some_and(|h| h.contains("dbname")));
    // Whoever comes when it is made is served, whatever is remembered of before.
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.execute("create database nowhere").await;
    let error = error_of(&proxy).await;
    assert!(error.is_none(), "{error:?}");
}
