//! Dropping, renaming and copying a database to which pools keep idle connections.

use std::time::Duration;

use crate::common::client::told;
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

const SOON: Duration = Duration::from_secs(20);

/// A database `work`, which belongs to the role, and one from which it is dropped.
async fn world(cluster: &Cluster, mode: &str) -> Proxy {
    let (own, other) = (new_password(), new_password());
    cluster.create_role("app_user", &own).await;
    cluster.create_role("other_user", &other).await;
    cluster.execute("alter role app_user createdb").await;
    cluster.execute("create database work owner app_user").await;
    let admin = format!("secret = \"app\"\npool_mode = \"{mode}\"");
    Proxy::builder()
        .secret("app", &cluster.secret("app_user", &own))
        .secret("other", &cluster.secret("other_user", &other))
        .database("admin", &admin)
        .database("foreign", "secret = \"other\"")
        .database("work", "secret = \"app\"\ndbname = \"work\"")
        .start()
        .await
}

async fn idle_in_work(proxy: &Proxy) -> serde_json::Value {
    let status = proxy.status().await;
    let databases = status["databases"].as_array().expect("a list");
    let work = databases.iter().find(|d| d["name"] == "work");
    work.expect("the database")["servers"]["idle"].clone()
}

/// Has a connection of the pool idle there.
async fn visit(proxy: &Proxy) {
    eventually("a client is served", SOON, || async {
        let client = connect(&proxy.dsn("work")).await.ok()?;
        client.simple_query("select 1").await.ok()?;
        client.close().await;
        (idle_in_work(proxy).await == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_let_go_for_whoever_may_drop_their_database() {
    for mode in ["transaction", "session"] {
        let cluster = Cluster::start().await;
        let proxy = world(&cluster, mode).await;
        let admin = proxy.connect("admin").await;
        for sql in [
            "CREATE DATABASE copy TEMPLATE work",
            "-- it goes\nALTER DATABASE work RENAME TO moved",
            "ALTER DATABASE moved RENAME TO work",
            "DROP DATABASE work",
            "CREATE DATABASE work",
            "DROP DATABASE IF EXISTS work WITH (FORCE)",
            "CREATE DATABASE work TEMPLATE copy",
        ] {
            if !sql.contains("moved RENAME") && !sql.starts_with("CREATE DATABASE work") {
                visit(&proxy).await;
            }
            let done = admin.simple_query(sql).await;
            done.unwrap_or_else(|e| panic!("{mode} mode, {sql}: {e:?}"));
        }
        // By the extended protocol, too.
        visit(&proxy).await;
        let done = admin.execute("drop database \"work\"", &[]).await;
        done.unwrap_or_else(|e| panic!("{mode} mode, extended: {e:?}"));
        // A session that was greeted before is told what has become of it.
        let error = match connect(&proxy.dsn("work")).await {
            Ok(client) => client.simple_query("select 1").await.err(),
            Err(error) => Some(error),
        };
        assert_eq!(told(&error.expect("it is gone")).0, "3D000");
    }
}

/// Otherwise anybody could have connections of others closed.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_let_go_for_whoever_may_not() {
    let cluster = Cluster::start().await;
    let proxy = world(&cluster, "transaction").await;
    visit(&proxy).await;
    let closed = proxy.audit_of("server.close").len();
    let foreign = proxy.connect("foreign").await;
    for sql in [
        "drop database work",
        "alter database work rename to mine",
        "create database mine template work",
    ] {
        let error = foreign.simple_query(sql).await.expect_err("not allowed");
        assert_eq!(told(&error).0, "42501", "{sql}");
    }
    assert_eq!(idle_in_work(&proxy).await, 1);
    assert_eq!(proxy.audit_of("server.close").len(), closed);
}

/// A client that works there keeps its connection, and the statement fails as on Postgres.
#[tokio::test(flavor = "multi_thread")]
async fn who_works_in_a_database_keeps_it() {
    let cluster = Cluster::start().await;
    let proxy = world(&cluster, "transaction").await;
    let worker = proxy.connect("work").await;
    worker.batch_execute("begin").await.expect("begun");
    let admin = proxy.connect("admin").await;
    let error = admin.simple_query("drop database work").await;
    assert_eq!(told(&error.expect_err("in use")).0, "55006");
    worker.batch_execute("commit").await.expect("committed");
}
