//! Several servers for one database: a primary, its standby, a promotion.

use std::time::Duration;

use super::common::client::told;
use super::common::{Cluster, Proxy, connect, eventually, new_password};

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
