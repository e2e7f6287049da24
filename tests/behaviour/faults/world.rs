//! A clock that jumps, a resolver that lies, changes its mind or says nothing, a slow disk.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::stage::through;
use super::talk::Talk;
use crate::common::cli::pgvalet_ok;
use crate::common::raw::query;
use crate::common::relay::{Fault, Relay};
use crate::common::world::World;
use crate::common::{Cluster, Proxy, eventually, new_password};

const NAME: &str = "database.example";

struct Place {
    proxy: Proxy,
    world: World,
    back: Relay,
    cluster: Cluster,
}

/// A proxy in a world of its own; its server has the name.
async fn place(keys: &str) -> Place {
    let cluster = Cluster::start().await;
    let back = Relay::to(cluster.port).await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = through(&back, &cluster.secret("app_user", &password));
    let world = World::new();
    world.hosts(&[(NAME, "127.0.0.1")]);
    let keys = format!("host = \"{NAME}\"\ntls = \"disable\"\n{keys}");
    let builder = Proxy::with_one_database(&secret, &keys);
    let proxy = world.around(builder).start().await;
    Place {
        proxy,
        world,
        back,
        cluster,
    }
}

/// A machine that wakes up, or whose clock was wrong: what is there goes on, and nobody is
/// sent away.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_changes_nothing() {
    let place = place("server_lifetime = \"1h\"\nserver_idle_timeout = \"10m\"").await;
    let mut client = Talk::begin(place.proxy.port).await;
    assert!(client.query("select 1").await.is_answer());
    let before = place.back.accepted();
    const DAY: i64 = 86_400;
    for jump in [DAY, 30 * DAY, 0, -DAY, -30 * DAY, 0] {
        place.world.clock(jump);
        // Whatever looks at the clock once a second has done so.
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let answer = client.query("select 1").await;
        assert!(answer.is_answer(), "{jump} s: {answer:?}");
        let mut comes = Talk::begin(place.proxy.port).await;
        assert!(comes.query("select 1").await.is_answer(), "{jump} s");
        place.proxy.signal(Signal::SIGHUP);
        let then = chrono::Utc::now() + chrono::TimeDelta::seconds(jump);
        let then = then.format("%Y-%m-%d").to_string();
        eventually("it sees the clock", Duration::from_secs(20), || async {
            let log = place.proxy.log();
            let last = log.lines().rfind(|line| line.contains("reload"));
            last.is_some_and(|line| line.contains(&then)).then_some(())
        })
        .await;
    }
    assert_eq!(place.back.accepted(), before, "no connection was replaced");
    pgvalet_ok(&place.proxy.config(), &["audit", "verify"], "");
}

/// Waits until a client waits for its server.
async fn waits(place: &Place) {
    eventually("it waits", Duration::from_secs(20), || async {
        let waiting = place.proxy.metric("pgvalet_client_waiting", &[]).await;
        (waiting == Some(1.0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_resolved_is_waited_for() {
    let place = place("connect_timeout = \"1s\"").await;
    let mut client = Talk::begin(place.proxy.port).await;
    assert!(client.query("select 1").await.is_answer());
    for trouble in ["fail", "wait", "192.0.2.1"] {
        // What is there needs no name.
        place.world.hosts(&[(NAME, trouble)]);
        let answer = client.query("select 1").await;
        assert!(answer.is_answer(), "{trouble}: {answer:?}");
        place.back.strike(Fault::Reset).await;
        client.say(&query("select 1")).await;
        waits(&place).await;
        place.world.hosts(&[(NAME, "127.0.0.1")]);
        let answer = client.hear(b'Z').await;
        assert!(answer.is_answer(), "after {trouble}: {answer:?}");
    }
}

/// A failover by DNS: the next login goes to where the name leads by then, and a server that
/// knows nothing of the password is not believed in its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_elsewhere_is_followed() {
    let place = place("").await;
    let mut client = Talk::begin(place.proxy.port).await;
    assert!(client.query("select 1").await.is_answer());
    // Nobody is there; the address of this machine that nothing listens at.
    place.world.hosts(&[(NAME, "127.9.9.9")]);
    place.back.strike(Fault::Reset).await;
    client.say(&query("select inet_server_addr()")).await;
    waits(&place).await;
    place.world.hosts(&[(NAME, "127.0.0.1")]);
    assert!(client.hear(b'Z').await.is_answer());
    drop(place.cluster);
}

/// It is lent, and dies while the first use of its version is recorded: nothing of the client
/// was sent, so that another one will do.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_dies_before_it_is_used_is_replaced() {
    let place = place("").await;
    for fault in [Fault::Reset, Fault::Close] {
        let mut client = Talk::begin(place.proxy.port).await;
        place.world.disk(1000);
        client.say(&query("select 1")).await;
        eventually("it has a connection", Duration::from_secs(20), || async {
            let held = place
                .proxy
                .metric("pgvalet_server_connections", &["state=\"active\""]);
            (held.await == Some(1.0)).then_some(())
        })
        .await;
        place.back.strike(fault).await;
        place.world.disk(0);
        let answer = client.hear(b'Z').await;
        assert!(answer.is_answer(), "{fault:?}: {answer:?}");
    }
}

/// The audit log is written behind sessions: a slow disk makes new ones slow, and no statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_slows_no_statement() {
    let place = place("").await;
    let mut client = Talk::begin(place.proxy.port).await;
    assert!(client.query("select 1").await.is_answer());
    place.world.disk(300);
    let records = place.proxy.audit().len();
    let comes = tokio::spawn({
        let port = place.proxy.port;
        async move {
            let mut clients = Vec::new();
            for _ in 0..5 {
                clients.push(Talk::begin(port).await);
            }
            clients.len()
        }
    });
    let mut statements = 0;
    while !comes.is_finished() {
        assert!(client.query("select 1").await.is_answer());
        statements += 1;
    }
    assert_eq!(comes.await.expect("no panic"), 5);
    // One after the other, while each record took as long as a hundred of them.
    assert!(statements > 50, "{statements}");
    place.world.disk(0);
    eventually("the records are there", Duration::from_secs(20), || async {
        (place.proxy.audit().len() > records).then_some(())
    })
    .await;
}
