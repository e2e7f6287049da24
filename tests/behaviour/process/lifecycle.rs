//! Signals, reloads, and sessions that will not let go.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::common::client::told;
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

async fn served(cluster: &Cluster, more: &str) -> (Proxy, String) {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), more)
        .start()
        .await;
    (proxy, password)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_transactions_finish() {
    let cluster = Cluster::start().await;
    let (mut proxy, _) = served(&cluster, "").await;
    let idle = proxy.connect("app").await;
    let busy = proxy.connect("app").await;
    busy.batch_execute("begin; create table work (n int)")
        .await
        .expect("a transaction");
    proxy.signal(Signal::SIGTERM);
    eventually("the idle session ends", Duration::from_secs(5), || async {
        let error = idle.simple_query("select 1").await.err()?;
        // What the server said last, or that it is gone.
        assert!(error.is_closed() || told(&error).0 == "57P01", "{error:?}");
        Some(())
    })
    .await;
    assert!(
        connect(&proxy.dsn("app")).await.is_err(),
        "nobody new is let in"
    );
    busy.batch_execute("insert into work values (1); commit")
        .await
        .expect("it may finish");
    let status = proxy.wait_exit(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}");
    let admin = cluster.superuser().await;
    assert_eq!(admin.value("select count(*) from work").await, "1");
    let left = "select count(*) from pg_stat_activity where usename = 'app_user'";
    assert_eq!(admin.value(left).await, "0", "every connection was closed");
}

/// systemd is told when clients are served, and when that ends, as `Type=notify`
/// demands.
#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).expect("bound");
    let mut proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), "")
        .environment("NOTIFY_SOCKET", path.to_str().expect("a path"))
        .prepare();
    let told = async || {
        let mut bytes = [0; 256];
        let read = tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut bytes));
        let length = read.await.expect("in time").expect("a message");
        String::from_utf8_lossy(&bytes[..length]).trim().to_owned()
    };
    proxy.run();
    assert_eq!(told().await, "READY=1");
    let session = proxy.connect("app").await;
    assert_eq!(session.value("select 1").await, "1");
    proxy.signal(Signal::SIGTERM);
    assert_eq!(told().await, "STOPPING=1");
    let status = proxy.wait_exit(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let cluster = Cluster::start().await;
    let (mut proxy, _) = served(&cluster, "").await;
    let busy = proxy.connect("app").await;
    busy.batch_execute("begin").await.expect("a transaction");
    proxy.signal(Signal::SIGTERM);
    eventually("it has begun to stop", Duration::from_secs(5), || async {
        proxy.log().contains("stopping").then_some(())
    })
    .await;
    proxy.signal(Signal::SIGTERM);
    assert!(proxy.wait_exit(Duration::from_secs(5)).await.success());
    assert!(proxy.log().contains("stopped at once"), "{}", proxy.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_databases_and_rules_and_spares_sessions() {
    let cluster = Cluster::start().await;
    let (proxy, _) = served(&cluster, "").await;
    let session = proxy.connect("app").await;
    let backend = session.value("select pg_backend_pid()").await;
    let text = fs::read_to_string(proxy.config()).expect("the configuration");

    let more = text.replace("databases = [\"app\"]", "databases = [\"app\", \"second\"]")
        + "\n[database.second]\nsecret = \"app\"\n";
    fs::write(proxy.config(), &more).expect("written");
    proxy.signal(Signal::SIGHUP);
    eventually(
        "the new database is served",
        Duration::from_secs(10),
        || async {
            let session = connect(&proxy.dsn("second")).await.ok()?;
            Some(session.value("select current_user").await)
        },
    )
    .await;
    assert_eq!(
        session.value("select pg_backend_pid()").await,
        backend,
        "its pool lives on"
    );

    // A file that is wrong changes nothing.
    fs::write(
        proxy.config(),
        more.replace("secret = \"app\"", "sekret = \"app\""),
    )
    .expect("written");
    proxy.signal(Signal::SIGHUP);
    eventually("the mistake is named", Duration::from_secs(10), || async {
        proxy
            .log()
            .contains("did you mean \"secret\"")
            .then_some(())
    })
    .await;
    proxy.connect("second").await.value("select 1").await;

    // What is gone is gone for new sessions.
    fs::write(proxy.config(), &text).expect("written");
    proxy.signal(Signal::SIGHUP);
    eventually("the database is gone", Duration::from_secs(10), || async {
        connect(&proxy.dsn("second")).await.err().map(|_| ())
    })
    .await;
    assert_eq!(proxy.audit_of("reload").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_deadline_ends_sessions_between_transactions() {
    let cluster = Cluster::start().await;
    let more =
        "pool_mode = \"session\"\ndrain_timeout = \"1s\"\ndrain_deadline_action = \"terminate\"";
    let (proxy, _) = served(&cluster, more).await;
    let idle = proxy.connect("app").await;
    idle.value("select 1").await;
    let busy = proxy.connect("app").await;
    busy.batch_execute("begin").await.expect("a transaction");

    proxy.rotate(&cluster, "app_user").await;
    let status = proxy.status().await;
    let holders = &status["databases"][0]["generations"][1]["holders"];
    assert_eq!(holders.as_array().map(Vec::len), Some(2), "{status}");
    assert_eq!(holders[0]["reason"], "session mode", "{status}");

    eventually(
        "the idle one is asked to leave",
        Duration::from_secs(10),
        || async { idle.is_closed().then_some(()) },
    )
    .await;
    busy.value("select 1").await; // never inside a transaction
    let _ = busy.batch_execute("commit").await;
    eventually(
        "and the busy one after its transaction",
        Duration::from_secs(10),
        || async { busy.is_closed().then_some(()) },
    )
    .await;
    eventually(
        "the old generation is gone",
        Duration::from_secs(10),
        || async { (proxy.audit_of("drain.end").len() == 1).then_some(()) },
    )
    .await;
    let ended = proxy.audit_of("session.end");
    assert!(ended.iter().all(|r| r["sqlstate"] == "57P01"), "{ended:?}");
    proxy.connect("app").await.value("select 1").await;
}

/// Without `terminate` such a session may stay, and shows.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_outstay_its_generation() {
    let cluster = Cluster::start().await;
    let (proxy, _) = served(&cluster, "pool_mode = \"session\"\ndrain_timeout = \"1s\"").await;
    let session = proxy.connect("app").await;
    let backend = session.value("select pg_backend_pid()").await;
    proxy.rotate(&cluster, "app_user").await;
    eventually("it shows as draining", Duration::from_secs(10), || async {
        let draining = proxy
            .metric("pgvalet_server_connections_draining", &[])
            .await;
        (draining == Some(1.0)).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await; // beyond the deadline
    assert_eq!(session.value("select pg_backend_pid()").await, backend);
    session.close().await;
    eventually(
        "it is gone with its session",
        Duration::from_secs(10),
        || async {
            let draining = proxy
                .metric("pgvalet_server_connections_draining", &[])
                .await;
            draining.is_none().then_some(())
        },
    )
    .await;
}
