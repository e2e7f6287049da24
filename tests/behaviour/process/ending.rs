//! How sessions end that are asked to.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt;

use crate::common::raw::{Raw, query, sqlstate};
use crate::common::{Cluster, Proxy, eventually, new_password};

/// A proxy that takes its time to shut down.
async fn patient(cluster: &Cluster) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let mut proxy = Proxy::with_one_database(&secret, "").prepare();
    let text = fs::read_to_string(proxy.config()).expect("the configuration");
    let text = text.replace("shutdown_timeout = \"1s\"", "shutdown_timeout = \"60s\"");
    fs::write(proxy.config(), text).expect("written");
    proxy.run();
    proxy.wait_ready().await;
    proxy
}

async fn sleeps(cluster: &Cluster) {
    let admin = cluster.superuser().await;
    let busy = "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'";
    eventually("the query runs", Duration::from_secs(10), || async {
        (admin.value(busy).await == "1").then_some(())
    })
    .await;
}

/// The session was busy when it was asked to end, and idle afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_after_the_transaction_that_it_was_asked_in() {
    let cluster = Cluster::start().await;
    let mut proxy = patient(&cluster).await;
    let mut client = Raw::connect(&proxy).await;
    client.send(&query("select pg_sleep(1)")).await;
    sleeps(&cluster).await;
    proxy.signal(Signal::SIGTERM);
    let asked = Instant::now();
    client.until(b'Z').await;
    assert_eq!(
        sqlstate(&client.until(b'E').await).as_deref(),
        Some("57P01")
    );
    proxy.wait_exit(Duration::from_secs(20)).await;
    assert!(asked.elapsed() < Duration::from_secs(20));
}

/// The session was in its handshake when all sessions were asked to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_starts_too_late_ends_at_once() {
    let cluster = Cluster::start().await;
    let mut proxy = patient(&cluster).await;
    let mut busy = Raw::connect(&proxy).await;
    busy.send(&query("select pg_sleep(3)")).await;
    sleeps(&cluster).await;
    let mut late = Raw::open(&proxy).await;
    late.send(b"\0\0\0\x08\x04\xd2\x16\x2f").await; // SSLRequest
    assert_eq!(late.stream.read_u8().await.expect("an answer"), b'N');
    proxy.signal(Signal::SIGTERM);
    eventually("it accepts nobody", Duration::from_secs(10), || async {
        let address = ("127.0.0.1", proxy.port);
        tokio::net::TcpStream::connect(address).await.err()
    })
    .await;
    late.start_up().await;
    assert_eq!(sqlstate(&late.until(b'E').await).as_deref(), Some("57P01"));
    busy.until(b'Z').await;
    proxy.wait_exit(Duration::from_secs(20)).await;
}

/// The deadline is for those who do not let go; this one did.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_let_go_late_is_not_ended() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let more = "pool_size = 4\ndrain_timeout = \"1s\"\ndrain_deadline_action = \"terminate\"";
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), more)
        .start()
        .await;
    let session = proxy.connect("app").await;
    session
        .batch_execute("begin; select 1")
        .await
        .expect("begun");
    let password = new_password();
    cluster.alter_password("app_user", &password).await;
    let value = cluster.secret("app_user", &password);
    let version = proxy.secret_put("app", &value).await;
    proxy.wait_in_force("app", &version).await;
    eventually("it is overdue", Duration::from_secs(10), || async {
        proxy.log().contains("drain deadline").then_some(())
    })
    .await;
    session.batch_execute("commit").await.expect("committed");
    assert_eq!(session.value("select 1").await, "1");
}

/// A query whose client has gone is not run.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_left_the_queue_is_not_served() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "pool_size = 1")
        .start()
        .await;
    let holder = proxy.connect("app").await;
    holder
        .batch_execute("create table work (n int)")
        .await
        .expect("a table");
    let mut leaves = Raw::connect(&proxy).await;
    holder.batch_execute("begin").await.expect("a lease");
    leaves.send(&query("insert into work values (1)")).await;
    let waiting = async |count: f64| {
        eventually("the queue", Duration::from_secs(10), || async {
            let waiting = proxy.metric("pgvalet_client_waiting", &[]).await;
            (waiting == Some(count)).then_some(())
        })
        .await;
    };
    waiting(1.0).await;
    drop(leaves);
    waiting(0.0).await;
    holder.batch_execute("commit").await.expect("committed");
    assert_eq!(holder.value("select count(*) from work").await, "0");
}
