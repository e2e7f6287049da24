//! What becomes of sessions, slots, cancels and records while two processes run.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio_postgres::NoTls;

use super::scene::{Scene, ends, send};
use crate::common::cancel::{SLEEP, sleeping};
use crate::common::client::told;
use crate::common::{connect, eventually};

/// Each process has its sessions; the old one ends with its last.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_stay_where_they_are_and_new_ones_go_to_the_new_process() {
    let mut scene = Scene::start("", "").await;
    let (tcp, unix) = (
        scene.proxy.connect("app").await,
        connect(&scene.proxy.unix_dsn("app"))
            .await
            .expect("connected"),
    );
    tcp.batch_execute("begin; create table work (n int)")
        .await
        .expect("begun");
    let old = scene.proxy.pid();
    let new = scene.upgrade().await;
    assert_ne!(old, new);
    let later = [
        scene.proxy.connect("app").await,
        connect(&scene.proxy.unix_dsn("app"))
            .await
            .expect("connected"),
    ];
    for session in &later {
        assert_eq!(session.value("select 1").await, "1");
    }
    tcp.batch_execute("insert into work values (1); commit")
        .await
        .expect("it goes on");
    assert_eq!(unix.value("select count(*) from work").await, "1");
    // A second upgrade waits for the first.
    let said = scene.refused(&[]).await;
    assert!(said.contains("still has sessions"), "{said}");
    tcp.close().await;
    unix.close().await;
    scene.old_ends().await;
    for session in &later {
        assert_eq!(session.value("select 1").await, "1");
    }
    let proxy_of = |pid: u32| format!(":{pid}");
    let of = |event: &str, pid: u32| {
        let records = scene.proxy.audit_of(event);
        let of = |r: &&serde_json::Value| {
            r["proxy"]
                .as_str()
                .is_some_and(|p| p.ends_with(&proxy_of(pid)))
        };
        records.iter().filter(of).count()
    };
    assert_eq!((of("session.start", old), of("session.end", old)), (2, 2));
    assert_eq!(of("session.start", new), 2);
    scene.audit_holds();
    drop(later);
    // And once more, by the signal.
    send(new, Signal::SIGUSR2);
    ends(new).await;
    let session = scene.proxy.connect("app").await;
    let last = scene.proxy.audit_seen("session.start").await;
    let pid = last
        .last()
        .and_then(|r| r["proxy"].as_str()?.rsplit(':').next()?.parse().ok());
    scene.successors.push(pid.expect("a pid"));
    assert_eq!(session.value("select 1").await, "1");
    scene.audit_holds();
}

/// The two processes together have no more server connections than the ceiling allows, and
/// clients of both get their turn.
#[tokio::test(flavor = "multi_thread")]
async fn both_processes_share_the_ceiling() {
    for size in [1, 3] {
        let mut scene = Scene::start("", &format!("pool_size = {size}")).await;
        let mut old = Vec::new();
        for _ in 0..4 {
            old.push(scene.proxy.connect("app").await);
        }
        let sampler = crate::common::sampler::Sampler::start(&scene.cluster).await;
        scene.upgrade().await;
        let mut new = Vec::new();
        for _ in 0..4 {
            new.push(scene.proxy.connect("app").await);
        }
        let works = |sessions: Vec<crate::common::Session>| async move {
            let each = sessions.into_iter().map(|session| async move {
                for _ in 0..20 {
                    let _ = session.value("select pg_sleep(0.01)").await;
                }
                session
            });
            futures_util::future::join_all(each).await
        };
        let (old, new) = tokio::join!(works(old), works(new));
        sampler.look().await;
        assert!(sampler.most().await <= size, "more than {size}");
        drop(old);
        scene.old_ends().await;
        // All slots are the new process's.
        let waits = new
            .iter()
            .take(size as usize)
            .map(|s| s.value("select pg_sleep(0.2)"));
        futures_util::future::join_all(waits).await;
        scene.audit_holds();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_a_session_of_the_old_process() {
    let mut scene = Scene::start("", "").await;
    let session = scene.proxy.connect("app").await;
    let token = session.cancel_token();
    let query = tokio::spawn(async move { session.batch_execute(SLEEP).await });
    sleeping(&scene.cluster, 1).await;
    scene.upgrade().await;
    token.cancel_query(NoTls).await.expect("sent");
    let error = query.await.expect("no panic").expect_err("cancelled");
    assert_eq!(told(&error).0, "57014");
    scene.old_ends().await;
    assert!(scene.proxy.audit_of("session.deny").is_empty());
}

/// What an administrator has paused stays paused, and access that ends ends in both processes.
#[tokio::test(flavor = "multi_thread")]
async fn pauses_and_reloads_hold_for_both() {
    let mut scene = Scene::start("", "pool_wait_timeout = \"300ms\"").await;
    let config = scene.proxy.config();
    let session = scene.proxy.connect("app").await;
    assert_eq!(session.value("select 1").await, "1");
    crate::common::cli::pgvalet_ok(&config, &["pause", "app"], "");
    scene.upgrade().await;
    let error = connect(&scene.proxy.dsn("app")).await.err();
    assert!(error.is_some(), "it is paused in the new process too");
    crate::common::cli::pgvalet_ok(&config, &["resume", "app"], "");
    let another = scene.proxy.connect("app").await;
    assert_eq!(another.value("select 1").await, "1");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let without = text.replace("network = [\"127.0.0.0/8\"]", "network = [\"192.0.2.1\"]");
    std::fs::write(&config, without).expect("written");
    send(scene.successors[0], Signal::SIGHUP);
    for session in [session, another] {
        eventually("the session ends", Duration::from_secs(10), || async {
            session.simple_query("select 1").await.err().map(|_| ())
        })
        .await;
    }
    scene.old_ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_stay_too_long_end_between_transactions() {
    let mut scene = Scene::start("upgrade_timeout = \"2s\"", "").await;
    let (idle, busy) = (
        scene.proxy.connect("app").await,
        scene.proxy.connect("app").await,
    );
    scene.upgrade().await;
    busy.batch_execute("begin; select pg_sleep(2.5); commit")
        .await
        .expect("it may finish");
    for session in [idle, busy] {
        let error = session
            .simple_query("select 1")
            .await
            .expect_err("it has ended");
        assert!(error.is_closed() || told(&error).0 == "57P01", "{error:?}");
    }
    scene.old_ends().await;
}

/// A load balancer sends no more clients to a proxy that says it is not ready; those that it
/// has sent meanwhile are served.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_stops_is_unready_first() {
    let mut scene = Scene::start("drain_delay = \"2s\"", "").await;
    let busy = scene.proxy.connect("app").await;
    busy.batch_execute("begin").await.expect("begun");
    scene.proxy.signal(Signal::SIGTERM);
    eventually("it is not ready", Duration::from_secs(1), || async {
        (scene.proxy.get("/readyz").await.0 == 503).then_some(())
    })
    .await;
    let late = scene.proxy.connect("app").await;
    assert_eq!(late.value("select 1").await, "1");
    eventually("nobody is let in", Duration::from_secs(10), || async {
        connect(&scene.proxy.dsn("app")).await.err().map(|_| ())
    })
    .await;
    // The admin listener answers while a transaction goes on.
    assert_eq!(scene.proxy.get("/livez").await.0, 200);
    assert_eq!(scene.proxy.get("/metrics").await.0, 200);
    busy.batch_execute("commit").await.expect("it may finish");
    scene.old_ends().await;
}

/// Two processes of one user share an address.
#[tokio::test(flavor = "multi_thread")]
async fn several_processes_listen_on_a_port_that_is_reused() {
    let scene = Scene::start("reuse_port = true", "").await;
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], scene.proxy.port));
    assert!(
        socket.bind(address).is_err(),
        "only for those who say so too"
    );
    socket.set_reuseport(true).expect("set");
    socket.bind(address).expect("it is shared");
}
