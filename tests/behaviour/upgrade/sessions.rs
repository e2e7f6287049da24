//! What becomes of sessions, slots, cancels and records while two processes run.

use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use tokio_postgres::NoTls;

use super::scene::{Scene, ends, is_alive, send};
use crate::common::cancel::{SLEEP, sleeping};
use crate::common::client::told;
use crate::common::tls::{self, Secure};
use crate::common::{cli, connect, eventually, new_password};

/// A session that is between transactions goes on in the new process, with its connection, its
/// settings, its statements and its cancel key. Others follow when their transaction ends.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_move_between_transactions() {
    let mut scene = Scene::start("", "").await;
    let tcp = scene.proxy.connect("app").await;
    tcp.batch_execute("set timezone to 'Asia/Tokyo'")
        .await
        .expect("set");
    let types = [tokio_postgres::types::Type::INT4];
    let statement = tcp.prepare_typed("select $1 + 1", &types).await;
    let statement = statement.expect("prepared");
    tcp.batch_execute("create table shape (a int)")
        .await
        .expect("made");
    let shape = tcp.prepare("select * from shape").await.expect("prepared");
    let token = tcp.cancel_token();
    let unix = connect(&scene.proxy.unix_dsn("app"))
        .await
        .expect("connected");
    let busy = scene.proxy.connect("app").await;
    busy.batch_execute("begin; create table work (n int)")
        .await
        .expect("begun");
    let sessions = scene.proxy.audit_seen("session.start").await;
    let old = scene.proxy.pid();
    let new = scene.upgrade().await;
    let later = scene.proxy.connect("app").await;
    // A second upgrade waits for the first.
    let said = scene.refused(&[]).await;
    assert!(said.contains("still has sessions"), "{said}");
    busy.batch_execute("insert into work values (1); commit")
        .await
        .expect("it goes on");
    // Nobody has left, and nobody is there any more.
    scene.old_ends().await;
    for session in [&tcp, &unix, &busy, &later] {
        assert_eq!(session.value("select count(*) from work").await, "1");
    }
    assert_eq!(tcp.value("show timezone").await, "Asia/Tokyo");
    let row = tcp
        .query_one(&statement, &[&41])
        .await
        .expect("it is known");
    assert_eq!(row.get::<_, i32>(0), 42);
    // As on one connection: the client knows other columns.
    scene.cluster.execute("alter table shape add b int").await;
    let error = tcp.query(&shape, &[]).await.expect_err("it has changed");
    assert_eq!(told(&error).0, "0A000");
    let query = tokio::spawn(async move { tcp.batch_execute(SLEEP).await });
    sleeping(&scene.cluster, 1).await;
    token.cancel_query(NoTls).await.expect("sent");
    let error = query.await.expect("no panic").expect_err("cancelled");
    assert_eq!(told(&error).0, "57014");
    let of = |event: &str, pid: u32| -> Vec<String> {
        let records = scene.proxy.audit_of(event).into_iter();
        let of = records.filter(|r| {
            r["proxy"]
                .as_str()
                .is_some_and(|p| p.ends_with(&format!(":{pid}")))
        });
        let mut ids: Vec<String> = of.map(|r| r["session"].to_string()).collect();
        ids.sort();
        ids
    };
    assert_eq!(sessions.len(), 3);
    assert_eq!(of("session.start", old).len(), 3);
    assert_eq!(of("session.end", old).len(), 0, "none has ended");
    assert_eq!(of("session.move", new), of("session.start", old));
    assert_eq!(of("session.start", new).len(), 1);
    scene.audit_holds();
    drop((unix, busy, later));
    // And once more, by the signal.
    let stays = scene.proxy.connect("app").await;
    assert_eq!(stays.value("select 1").await, "1");
    send(new, Signal::SIGUSR2);
    ends(new).await;
    scene.find_successors();
    assert_eq!(stays.value("select 2").await, "2");
    assert_eq!(scene.successors.len(), 1);
    scene.audit_holds();
}

/// The password has changed, and the secret has not: a rotation is in the middle.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_in_the_middle_of_a_rotation_waits_for_its_end() {
    let mut scene = Scene::start("", "").await;
    let session = scene.proxy.connect("app").await;
    assert_eq!(session.value("select 1").await, "1");
    let password = new_password();
    scene.cluster.alter_password("app_user", &password).await;
    let rotates = async {
        // The new process has tried.
        eventually("a login fails", Duration::from_secs(20), || async {
            (!scene.proxy.audit_of("server.fail").is_empty()).then_some(())
        })
        .await;
        let secret = scene.cluster.secret("app_user", &password);
        scene.proxy.secret_put("app", &secret).await
    };
    let (output, version) = tokio::join!(scene.try_upgrade(&[]), rotates);
    assert!(output.status.success(), "{output:?}\n{}", scene.proxy.log());
    scene.find_successors();
    scene.proxy.wait_in_force("app", &version).await;
    assert_eq!(session.value("select 2").await, "2");
    session.close().await;
    scene.old_ends().await;
}

/// What the rules of the new process do not let in ends.
#[tokio::test(flavor = "multi_thread")]
async fn the_new_process_decides_again() {
    let mut scene = Scene::start("", "").await;
    let session = scene.proxy.connect("app").await;
    assert_eq!(session.value("select 1").await, "1");
    let config = scene.proxy.config();
    let text = std::fs::read_to_string(&config).expect("the configuration");
    let without = text.replace("network = [\"127.0.0.0/8\"]", "network = [\"192.0.2.1\"]");
    std::fs::write(&config, without).expect("written");
    scene.upgrade().await;
    eventually("the session ends", Duration::from_secs(10), || async {
        session.simple_query("select 1").await.err().map(|_| ())
    })
    .await;
    scene.old_ends().await;
    let unix = connect(&scene.proxy.unix_dsn("app")).await;
    assert!(unix.is_ok(), "others are let in");
}

/// TLS, state on the server and LISTEN keep a session in the old process, which serves it.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_cannot_move_stay() {
    let mut scene = Scene::with_tls("", "").await;
    let config = tls::config(None);
    let mut secure = Secure::connect(&scene.proxy, &config, "app")
        .await
        .expect("connected");
    let (locks, listens) = (
        scene.proxy.connect("app").await,
        scene.proxy.connect("app").await,
    );
    locks
        .batch_execute("select pg_advisory_lock(7)")
        .await
        .expect("locked");
    listens
        .batch_execute("listen news")
        .await
        .expect("it listens");
    let old = scene.proxy.pid();
    scene.upgrade().await;
    secure.ask("create table work (n int)").await.expect("done");
    for session in [&locks, &listens] {
        assert_eq!(session.value("select count(*) from work").await, "0");
    }
    let locked = "select count(*) from pg_locks where locktype = 'advisory'";
    assert_eq!(locks.value(locked).await, "1");
    assert!(is_alive(old));
    assert!(scene.proxy.audit_of("session.move").is_empty());
    // They are shown, and where they are.
    let config = scene.proxy.directory().join("good.toml");
    let later = scene.proxy.connect("app").await;
    let shown = cli::pgvalet_ok(&config, &["clients"], "");
    let there = format!("in process {old}");
    assert_eq!(shown.matches(&there).count(), 3, "{shown}");
    let listed = cli::pgvalet_ok(&config, &["clients", "--json"], "");
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let listed = listed.as_array().expect("a list");
    let ids: Vec<u64> = listed.iter().filter_map(|c| c["id"].as_u64()).collect();
    assert!(ids.len() == 4 && ids.is_sorted(), "{listed:#?}");
    let started = scene.proxy.audit_of("session.start");
    for id in ids {
        let id = id.to_string();
        assert!(started.iter().any(|r| r["session"] == id.as_str()));
    }
    later.close().await;
    // Without that state, it moves.
    locks
        .batch_execute("select pg_advisory_unlock(7)")
        .await
        .expect("unlocked");
    drop((secure, listens));
    scene.old_ends().await;
    assert_eq!(locks.value(locked).await, "0");
    assert_eq!(scene.proxy.audit_of("session.move").len(), 1);
}

/// The two processes together have no more server connections than the ceiling allows, and
/// clients of both get their turn.
#[tokio::test(flavor = "multi_thread")]
async fn both_processes_share_the_ceiling() {
    for size in [1, 3] {
        let mut scene = Scene::with_tls("", &format!("pool_size = {size}")).await;
        let config = tls::config(None);
        let mut old = Vec::new();
        for _ in 0..4 {
            let secure = Secure::connect(&scene.proxy, &config, "app").await;
            old.push(secure.expect("connected"));
        }
        let sampler = crate::common::sampler::Sampler::start(&scene.cluster).await;
        scene.upgrade().await;
        let mut new = Vec::new();
        for _ in 0..4 {
            new.push(scene.proxy.connect("app").await);
        }
        let old_works = old.into_iter().map(|mut session| async move {
            for _ in 0..20 {
                session.ask("select pg_sleep(0.01)").await.expect("served");
            }
            session
        });
        let new_works = new.into_iter().map(|session| async move {
            for _ in 0..20 {
                session.value("select pg_sleep(0.01)").await;
            }
            session
        });
        let (old, new) = tokio::join!(join_all(old_works), join_all(new_works));
        sampler.look().await;
        assert!(sampler.most().await <= size, "more than {size}");
        drop(old);
        scene.old_ends().await;
        // All slots are the new process's.
        let waits = new
            .iter()
            .take(size as usize)
            .map(|s| s.value("select pg_sleep(0.2)"));
        join_all(waits).await;
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

/// What an administrator does in the new process reaches the clients that the old one still has.
#[tokio::test(flavor = "multi_thread")]
async fn clients_of_the_old_process_are_resumed_and_killed() {
    let mut scene = Scene::with_tls("", "pool_wait_timeout = \"20s\"").await;
    let config = scene.proxy.config();
    let tls = tls::config(None);
    let mut secure = Secure::connect(&scene.proxy, &tls, "app")
        .await
        .expect("connected");
    secure.ask("select 1").await.expect("served");
    crate::common::cli::pgvalet_ok(&config, &["pause", "app"], "");
    scene.upgrade().await;
    crate::common::cli::pgvalet_ok(&config, &["resume", "app"], "");
    let answer = secure.ask("select 1").await.expect("served again");
    assert_eq!(answer.last().map(|(tag, _)| *tag), Some(b'Z'));
    crate::common::cli::pgvalet_ok(&config, &["kill", "app"], "");
    assert!(secure.last_words().await.contains("57P01"));
    scene.old_ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_stay_too_long_end_between_transactions() {
    let mut scene = Scene::with_tls("upgrade_timeout = \"2s\"", "").await;
    let config = tls::config(None);
    let secure = async || {
        let secure = Secure::connect(&scene.proxy, &config, "app").await;
        secure.expect("connected")
    };
    let (mut idle, mut busy) = (secure().await, secure().await);
    scene.upgrade().await;
    let finished = busy.ask("begin; select pg_sleep(2.5); commit").await;
    let finished = finished.expect("it may finish");
    assert_eq!(finished.last().map(|(tag, _)| *tag), Some(b'Z'));
    for session in [&mut idle, &mut busy] {
        assert!(session.last_words().await.contains("57P01"));
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
