//! The ceilings: server connections, waiting clients, clients.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::common::client::told;
use crate::common::sampler::Sampler;
use crate::common::setup::proxy;
use crate::common::{Cluster, Proxy, connect, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_so_long_and_no_longer() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        let more = format!("pool_mode = \"{mode}\"\npool_size = 1\npool_wait_timeout = \"1s\"");
        let proxy = proxy(&cluster, &more).await;
        let holder = proxy.connect("app").await;
        holder.batch_execute("begin").await.expect("a lease");

        let asked = Instant::now();
        // In session mode the wait may come with the connection or with its first query.
        let error = match connect(&proxy.dsn("app")).await {
            Ok(waiter) => waiter
                .simple_query("select 1")
                .await
                .expect_err("no connection is free"),
            Err(error) => error,
        };
        let waited = asked.elapsed();
        let (sqlstate, message, ..) = told(&error);
        assert!(
            !sqlstate.starts_with("28") && message.contains("app"),
            "{sqlstate} {message}"
        );
        assert!(
            (Duration::from_millis(900)..Duration::from_secs(4)).contains(&waited),
            "{mode} mode waited {waited:?}"
        );

        holder.batch_execute("commit").await.expect("committed");
        holder.close().await;
        assert_eq!(proxy.connect("app").await.value("select 1").await, "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_freed_connection_goes_to_who_waits() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1\npool_wait_timeout = \"20s\"").await;
    let holder = proxy.connect("app").await;
    holder.batch_execute("begin").await.expect("a lease");
    let waiters: Vec<_> = join_all((0..5).map(|_| async { proxy.connect("app").await })).await;
    let all = join_all(waiters.iter().map(|w| w.value("select 1")));
    let release = async {
        eventually("five wait", Duration::from_secs(10), || async {
            (proxy.metric("pgvalet_client_waiting", &[]).await == Some(5.0)).then_some(())
        })
        .await;
        holder.batch_execute("commit").await.expect("committed");
    };
    let (answers, ()) = tokio::join!(all, release);
    assert_eq!(answers, ["1"; 5]);
    assert_eq!(proxy.metric("pgvalet_client_waiting", &[]).await, Some(0.0));
}

async fn hammer(proxy: &Proxy, clients: usize, transactions: usize) {
    join_all((0..clients).map(|n| async move {
        let session = proxy.connect("app").await;
        for i in 0..transactions {
            let sql = if (n + i) % 3 == 0 {
                "begin; select pg_sleep(0.002); commit"
            } else {
                "select 1"
            };
            session
                .simple_query(sql)
                .await
                .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        }
        session.close().await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_size_is_a_ceiling() {
    let cluster = Cluster::start().await;
    // A short life makes connections come and go while the load is on.
    let proxy = proxy(&cluster, "pool_size = 5\nserver_lifetime = \"1s\"").await;
    let sampler = Sampler::start(&cluster).await;
    hammer(&proxy, 40, 100).await;
    let most = sampler.most().await;
    assert!((2..=5).contains(&most), "{most} server connections at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_server_connections_are_given_up_down_to_the_minimum() {
    let cluster = Cluster::start().await;
    let more = "pool_size = 8\nmin_pool_size = 2\nserver_idle_timeout = \"1s\"";
    let proxy = proxy(&cluster, more).await;
    hammer(&proxy, 8, 50).await;
    let idle = async || {
        proxy
            .metric("pgvalet_server_connections", &["state=\"idle\""])
            .await
    };
    eventually("two are left", Duration::from_secs(20), || async {
        (idle().await == Some(2.0)).then_some(())
    })
    .await;
}

/// Postgres cannot finish logins while somebody has locked pg_authid, and does
/// not notice who gives up waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_takes_too_long_counts_until_postgres_knows() {
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let keys = "pool_size = 2\nconnect_timeout = \"3s\"";
        let proxy = proxy(&cluster, keys).await;
        let first = proxy.connect("app").await;
        first.batch_execute("begin").await.expect("a lease");
        let second = proxy.connect("app").await;

        let admin = cluster.superuser().await;
        let lock = "begin; lock table pg_authid in access exclusive mode";
        admin.batch_execute(lock).await.expect("locked");
        let wait = tokio::spawn(async move { second.value("select 'served'").await });
        let stuck = "select count(distinct pid) from pg_locks where not granted";
        eventually("a login is stuck", Duration::from_secs(5), || async {
            (admin.value(stuck).await == "1").then_some(())
        })
        .await;
        proxy.audit_seen("server.fail").await;
        // Ten times as long as it takes until a server is tried again.
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            assert_eq!(admin.value(stuck).await, "1");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        admin.batch_execute("rollback").await.expect("unlocked");
        assert_eq!(wait.await.expect("no panic"), "served");
    }
}
