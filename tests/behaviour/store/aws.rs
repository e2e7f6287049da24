//! The AWS store, against a stand-in that speaks its protocol.

use std::time::Duration;

use crate::common::cli::{pgvalet, pgvalet_ok};
use crate::common::moto::Moto;
use crate::common::setup::orders_in_aws;
use crate::common::{Cluster, ProxyBuilder, connect, eventually, new_password};

fn proxy(moto: &Moto, more: &str) -> ProxyBuilder {
    orders_in_aws(&moto.url, "1s", more)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_aws_is_followed_when_it_rotates() {
    let (cluster, moto) = (Cluster::start().await, Moto::start());
    let store = moto.secrets();
    let password = new_password();
    cluster.create_role("orders_app", &password).await;
    let value = cluster.secret("orders_app", &password);
    let created = store
        .create_secret()
        .name("prod/orders")
        .secret_string(&value);
    let created = created.send().await.expect("created");

    let proxy = proxy(&moto, "server_lifetime = \"1s\"").start().await;
    proxy.watch_for(&value);
    let session = proxy.connect("orders").await;
    assert_eq!(session.value("select current_user").await, "orders_app");
    proxy
        .wait_in_force("prod/orders", created.version_id().expect("an id"))
        .await;
    proxy.audit_seen("credential.use").await;
    let adopted = &proxy.audit_seen("secret.adopt").await[0];
    assert_eq!(adopted["credential"]["arn"].as_str(), created.arn());

    for label_first in [true, false] {
        let password = new_password();
        let value = cluster.secret("orders_app", &password);
        proxy.watch_for(&value);
        let put = || {
            store
                .put_secret_value()
                .secret_id("prod/orders")
                .secret_string(&value)
                .send()
        };
        let put = if label_first {
            let put = put().await.expect("put");
            cluster.alter_password("orders_app", &password).await;
            put
        } else {
            cluster.alter_password("orders_app", &password).await;
            put().await.expect("put")
        };
        let version = put.version_id().expect("an id").to_owned();
        proxy.wait_in_force("prod/orders", &version).await;
        eventually(
            "the session works on it",
            Duration::from_secs(20),
            || async {
                session.value("select 1").await;
                let uses = proxy.audit_seen("credential.use").await;
                uses.iter()
                    .any(|r| r["credential"]["version"] == version.as_str())
                    .then_some(())
            },
        )
        .await;
    }
    proxy.assert_no_leak().await;
}

/// The window of RDS's own rotation: the database has the password that only
/// AWSPENDING knows yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_pending_version_carries_over_the_window() {
    let (cluster, moto) = (Cluster::start().await, Moto::start());
    let store = moto.secrets();
    let (old, new) = (new_password(), new_password());
    cluster.create_role("orders_app", &old).await;
    let value = cluster.secret("orders_app", &old);
    store
        .create_secret()
        .name("prod/orders")
        .secret_string(value)
        .send()
        .await
        .expect("created");
    let pending = store
        .put_secret_value()
        .secret_id("prod/orders")
        .secret_string(cluster.secret("orders_app", &new))
        .version_stages("AWSPENDING")
        .send()
        .await
        .expect("put");
    cluster.alter_password("orders_app", &new).await;

    // Even for a proxy that starts in the middle of it.
    let proxy = proxy(&moto, "").start_unready().await;
    let session = connect(&proxy.dsn("orders"))
        .await
        .expect("a client need not know");
    assert_eq!(session.value("select current_user").await, "orders_app");
    let used = proxy.audit_seen("credential.use").await;
    assert_eq!(
        used[0]["credential"]["version"].as_str(),
        pending.version_id(),
        "{used:?}"
    );
}

/// The store goes away: what was known goes on working.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_store_is_no_outage_of_the_database() {
    let (cluster, moto) = (Cluster::start().await, Moto::start());
    let password = new_password();
    cluster.create_role("orders_app", &password).await;
    let value = cluster.secret("orders_app", &password);
    let store = moto.secrets();
    store
        .create_secret()
        .name("prod/orders")
        .secret_string(value)
        .send()
        .await
        .expect("created");
    let proxy = proxy(&moto, "server_lifetime = \"1s\"").start().await;
    proxy.connect("orders").await.value("select 1").await;
    drop(moto);
    eventually("the outage is noticed", Duration::from_secs(30), || async {
        let unavailable = ["outcome=\"unavailable\""];
        let fetches = proxy
            .metric("pgvalet_secret_fetches_total", &unavailable)
            .await;
        (fetches > Some(0.0)).then_some(())
    })
    .await;
    let logins = cluster
        .log()
        .matches("connection authorized: user=orders_app")
        .count();
    eventually(
        "a new login with the last known good version",
        Duration::from_secs(20),
        || async {
            proxy.connect("orders").await.value("select 1").await;
            let now = cluster
                .log()
                .matches("connection authorized: user=orders_app")
                .count();
            (now > logins).then_some(())
        },
    )
    .await;
}

/// An event hook or a person need not wait for the next look.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_finds_a_new_version_at_once() {
    let (cluster, moto) = (Cluster::start().await, Moto::start());
    let store = moto.secrets();
    let (old, new) = (new_password(), new_password());
    cluster.create_role("orders_app", &old).await;
    cluster.create_role("orders_app_clone", &new).await;
    let created = store
        .create_secret()
        .name("prod/orders")
        .secret_string(cluster.secret("orders_app", &old))
        .send()
        .await
        .expect("created");
    let proxy = orders_in_aws(&moto.url, "1h", "").start().await;
    let session = proxy.connect("orders").await;
    assert_eq!(session.value("select current_user").await, "orders_app");
    let put = async || {
        let put = store
            .put_secret_value()
            .secret_id("prod/orders")
            .secret_string(cluster.secret("orders_app_clone", &new));
        let put = put.send().await.expect("put");
        put.version_id().expect("an id").to_owned()
    };
    let version = put().await;
    let said = pgvalet_ok(&proxy.config(), &["refresh", "prod/orders"], "");
    assert_eq!(
        said,
        format!("new      prod/orders: AWSCURRENT is {version}\n")
    );
    proxy.wait_in_force("prod/orders", &version).await;
    let is = session.value("select current_user").await;
    assert_eq!(is, "orders_app_clone");
    let status = proxy.status().await;
    let secret = &status["secrets"][0];
    assert_eq!(secret["adopted_as"], "AWSCURRENT", "{secret}");

    // An event names the secret by its ARN.
    let version = put().await;
    let arn = created.arn().expect("an ARN");
    let said = pgvalet_ok(&proxy.config(), &["refresh", arn, "--json"], "");
    let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said[0]["current"], version.as_str(), "{said}");
    let unknown = pgvalet(&proxy.config(), &["refresh", "prod/order"], "");
    assert_eq!(unknown.status.code(), Some(2));
    let said = String::from_utf8_lossy(&unknown.stderr);
    assert!(said.contains("did you mean \"prod/orders\"?"), "{said}");
}
