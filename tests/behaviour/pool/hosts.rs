//! Several servers for one database: a primary, its standby, a promotion.

use std::time::Duration;

use crate::common::cli::pgvalet_ok;
use crate::common::client::told;
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

#[tokio::test(flavor = "multi_thread")]
async fn the_server_that_is_wanted_is_found_also_after_a_promotion() {
    let mut primary = Cluster::start().await;
    let password = new_password();
    primary.create_role("app_user", &password).await;
    let standby = primary.standby().await;
    let mut builder = Proxy::builder().secret("app", &primary.secret("app_user", &password));
    for attrs in ["read-write", "read-only", "prefer-standby", "any"] {
        let hosts = match attrs {
            "any" => format!("[\"127.0.0.1:1\", \"127.0.0.1:{}\"]", primary.port),
            "read-only" => format!("\"127.0.0.1:{},127.0.0.1:{}\"", primary.port, standby.port),
            _ => format!(
                "[\"127.0.0.1:{}\", \"127.0.0.1:{}\"]",
                standby.port, primary.port
            ),
        };
        let body = format!("secret = \"app\"\nhost = {hosts}\ntarget_session_attrs = \"{attrs}\"");
        builder = builder.database(attrs, &body);
    }
    let proxy = builder.start().await;
    let port = async |database: &str| {
        let client = connect(&proxy.dsn(database)).await.ok()?;
        let row = client
            .query_one("select inet_server_port()", &[])
            .await
            .ok()?;
        Some(u16::try_from(row.get::<_, i32>(0)).expect("a port"))
    };
    for (database, expected) in [
        ("read-write", primary.port),
        ("read-only", standby.port),
        ("prefer-standby", standby.port),
        ("any", primary.port), // the first one does not answer
    ] {
        eventually(database, Duration::from_secs(10), || async {
            (port(database).await == Some(expected)).then_some(())
        })
        .await;
    }
    // A session that stays, so that its connection is handed on.
    let reader = proxy.connect("read-only").await;
    assert_eq!(reader.value("select pg_is_in_recovery()").await, "t");
    let opened = proxy.audit_seen("server.open").await;
    let place = |database: &str| {
        let of = |r: &&serde_json::Value| r["database"] == database;
        opened.iter().find(of).map(|r| r["server"]["port"].clone())
    };
    assert_eq!(place("read-write"), Some(primary.port.into()));

    primary.stop();
    standby.superuser().await.value("select pg_promote()").await;
    for database in ["read-write", "prefer-standby"] {
        eventually(database, Duration::from_secs(20), || async {
            (port(database).await == Some(standby.port)).then_some(())
        })
        .await;
    }
    let writer = proxy.connect("read-write").await;
    writer
        .batch_execute("create table written()")
        .await
        .expect("a primary");
    // Nobody may only read any more, and a connection from before does not count.
    let error = eventually("no standby is left", Duration::from_secs(20), || async {
        reader.simple_query("select 1").await.err()
    })
    .await;
    assert_eq!(told(&error).0, "08006");
    assert_eq!(port("prefer-standby").await, Some(standby.port));
}

/// A failover may lead to a server with another password, and back. Which
/// version a host takes is remembered, so that each way costs the one refusal
/// that tells, and an AWSPENDING that nobody has set is not tried again.
#[tokio::test(flavor = "multi_thread")]
async fn each_host_is_asked_with_the_version_that_last_worked_there() {
    let (mut a, mut b) = (Cluster::start().await, Cluster::start().await);
    let [first, second, third] = [new_password(), new_password(), new_password()];
    for cluster in [&a, &b] {
        cluster.create_role("app", &first).await;
    }
    let hosts = format!("[\"127.0.0.1:{}\", \"127.0.0.1:{}\"]", a.port, b.port);
    let body = format!("secret = \"app\"\nhost = {hosts}");
    let proxy = Proxy::builder()
        .secret("app", &a.secret("app", &first))
        .database("app", &body)
        .start()
        .await;
    let works_at = async |port: u16| {
        let what = format!("served by {port}");
        let sql = "select inet_server_port()";
        eventually(&what, Duration::from_secs(20), || async {
            let client = connect(&proxy.dsn("app")).await.ok()?;
            let row = client.query_one(sql, &[]).await.ok()?;
            (row.get::<_, i32>(0) == i32::from(port)).then_some(())
        })
        .await;
    };
    works_at(a.port).await;
    // Only the first one learns of the rotation.
    a.alter_password("app", &second).await;
    let version = proxy.secret_put("app", &a.secret("app", &second)).await;
    proxy.wait_in_force("app", &version).await;

    a.stop();
    works_at(b.port).await;
    // A version that is nobody's yet; it is in the way from here on.
    let pending = a.secret("app", &third);
    let pending = pgvalet_ok(
        &proxy.config(),
        &["secret", "put", "app", "--stage", "AWSPENDING"],
        &pending,
    );
    proxy.watch_for(&third);
    a.run().await;
    b.stop();
    works_at(a.port).await;
    let refused = || {
        let records = proxy.audit_of("server.fail");
        let auth = |r: &serde_json::Value| r["sqlstate"] == "28P01";
        records.into_iter().filter(auth).collect::<Vec<_>>()
    };
    let before = refused().len();
    b.run().await;
    a.stop();
    works_at(b.port).await;
    let refused = refused().split_off(before);
    let version_of = |r: &serde_json::Value| r["credential"]["version"].clone();
    assert!(
        refused.iter().all(|r| version_of(r) != pending.trim()),
        "{refused:?}"
    );
    assert!(
        !refused.is_empty(),
        "the version in force was refused there"
    );
}
