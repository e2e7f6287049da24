//! No server connection stands for a database until a client asks for it.

use std::time::Duration;

use crate::common::{Cluster, Proxy, eventually, new_password};

const SOON: Duration = Duration::from_secs(20);

/// Postgres has room for fewer connections than there are databases.
#[tokio::test(flavor = "multi_thread")]
async fn no_server_connection_stands_for_a_database_until_a_client_asks() {
    const DATABASES: usize = 40;
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    cluster
        .execute("alter role app_user connection limit 10")
        .await;
    let mut builder = Proxy::builder().secret("app", &cluster.secret("app_user", &password));
    for n in 0..DATABASES {
        builder = builder.database(&format!("d{n}"), "secret = \"app\"");
    }
    let proxy = builder.start().await;
    // Each version is proved, so that a secret which does not work shows before a client.
    eventually("every secret is proved", SOON, || async {
        let status = proxy.status().await;
        let databases = status["databases"].as_array()?;
        let proved = |d: &&serde_json::Value| !d["generations"][0].is_null();
        (databases.iter().filter(proved).count() == DATABASES).then_some(())
    })
    .await;
    assert_eq!(proxy.audit_of("server.fail").len(), 0, "{}", proxy.log());
    let admin = cluster.superuser().await;
    let here = "select count(*) from pg_stat_activity where usename = 'app_user'";
    eventually("nothing stands", SOON, || async {
        (admin.value(here).await == "0").then_some(())
    })
    .await;
    let client = proxy.connect("d7").await;
    assert_eq!(admin.value(here).await, "0", "its greeting is known");
    assert_eq!(client.value("select 1").await, "1");
    assert_eq!(admin.value(here).await, "1");
}

/// A new version is proved by a login, and nothing of it stays where nothing was.
#[tokio::test(flavor = "multi_thread")]
async fn the_proof_of_a_new_version_is_let_go() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "").start().await;
    proxy.rotate(&cluster, "app_user").await;
    let admin = cluster.superuser().await;
    let here = "select count(*) from pg_stat_activity where usename = 'app_user'";
    eventually("nothing stands", SOON, || async {
        (admin.value(here).await == "0").then_some(())
    })
    .await;
    let client = proxy.connect("app").await;
    assert_eq!(client.value("select 1").await, "1");
}
