//! Between pgvalet and its store: clients notice nothing, and what the store has to say arrives
//! when it can.

use std::time::Duration;

use crate::common::moto::Moto;
use crate::common::relay::{Arrivals, At, Fault, Relay, Way};
use crate::common::setup::orders_in_aws;
use crate::common::{Cluster, eventually, new_password};

use At::Byte;
use Way::{ToClient, ToServer};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_breaks_off_is_asked_again() {
    let (cluster, moto) = (Cluster::start().await, Moto::start());
    let port = moto.url.trim_end_matches('/').rsplit(':').next();
    let relay = Relay::of_bytes(port.and_then(|p| p.parse().ok()).expect("a port")).await;
    let password = new_password();
    cluster.create_role("orders_app", &password).await;
    let store = moto.secrets();
    let value = cluster.secret("orders_app", &password);
    let created = store
        .create_secret()
        .name("prod/orders")
        .secret_string(value);
    created.send().await.expect("created");
    let url = format!("http://127.0.0.1:{}", relay.port);
    let proxy = orders_in_aws(&url, "1s", "").start().await;
    let session = proxy.connect("orders").await;
    for fault in [Fault::Reset, Fault::Close, Fault::Truncate] {
        for (way, at) in [
            (ToServer, Byte(0)),
            (ToServer, Byte(200)),
            (ToClient, Byte(0)),
            (ToClient, Byte(100)),
        ] {
            let before = relay.struck();
            relay.strike(Fault::Reset).await; // so that the bytes of a new one are counted
            relay.arm(way, at, fault);
            relay.strikes(before).await;
            assert_eq!(session.value("select 1").await, "1", "{fault:?} at {at:?}");
        }
    }
    // Nothing is answered, neither on connections that are there nor on new ones.
    relay.strike(Fault::Silence).await;
    relay.arrivals(Arrivals::Ignore);
    let next = new_password();
    cluster.alter_password("orders_app", &next).await;
    let put = store.put_secret_value().secret_id("prod/orders");
    let value = cluster.secret("orders_app", &next);
    proxy.watch_for(&value);
    let put = put.secret_string(value).send().await.expect("put");
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(proxy.connect("orders").await);
        assert_eq!(session.value("select 1").await, "1");
    }
    relay.heal();
    let version = put.version_id().expect("an id");
    proxy.wait_in_force("prod/orders", version).await;
    eventually(
        "the session works on it",
        Duration::from_secs(20),
        || async {
            session.value("select 1").await;
            let uses = proxy.audit_of("credential.use");
            uses.iter()
                .any(|r| r["credential"]["version"] == version)
                .then_some(())
        },
    )
    .await;
}
