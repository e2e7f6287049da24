//! More clients than the process may have descriptors.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::common::client::told;
use crate::common::{Cluster, Proxy, Session, connect, eventually, new_password, tethered};
use crate::health::{wait_over, wait_trouble};

/// As many files as the test itself may open.
fn allow_many_files() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("raised");
}

/// A proxy that may have so many descriptors.
async fn limited(cluster: &Cluster, files: u32) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let keys = "pool_size = 5\nserver_idle_timeout = \"1s\"";
    let mut proxy =
        Proxy::with_one_database(&cluster.secret("app_user", &password), keys).prepare();
    let mut command = tethered("/bin/sh", "KILL", None);
    let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
    command.args(["-c", &script, crate::common::cli::PGVALET]);
    proxy.run_by(command);
    proxy.wait_ready().await;
    proxy
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_descriptor_is_told_at_once() {
    allow_many_files();
    let cluster = Cluster::start().await;
    let proxy = limited(&cluster, 256).await;
    assert!(
        proxy.log().contains("max_clients = 10000 does not fit"),
        "{}",
        proxy.log()
    );
    let began = Instant::now();
    let results = join_all((0..600).map(|_| {
        let dsn = proxy.dsn("app");
        async move { connect(&dsn).await }
    }))
    .await;
    let took = began.elapsed();
    let mut sessions: Vec<Session> = Vec::new();
    let mut refused = 0;
    for result in results {
        match result {
            Ok(session) => sessions.push(session),
            Err(error) => {
                assert_eq!(told(&error).0, "53300", "{error:?}");
                refused += 1;
            }
        }
    }
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert!((100..200).contains(&sessions.len()), "{}", sessions.len());
    assert_eq!(sessions.len() + refused, 600);
    // The admin listener answers, and servers are logged in to.
    assert_eq!(proxy.get("/livez").await.0, 200);
    let answers = join_all(sessions.iter().map(|s| s.value("select 1"))).await;
    assert!(answers.iter().all(|a| a == "1"));
    // A cancel request arrives.
    let busy = sessions.pop().expect("a session");
    let token = busy.cancel_token();
    let (cancelled, ()) = tokio::join!(busy.simple_query("select pg_sleep(30)"), async {
        eventually("it runs", Duration::from_secs(10), || async {
            let admin = cluster.superuser().await;
            let running =
                "select count(*) from pg_stat_activity where query like 'select pg_sleep%'";
            (admin.value(running).await == "1").then_some(())
        })
        .await;
        let sent = token.cancel_query(tokio_postgres::NoTls).await;
        sent.expect("the cancel request is taken");
    });
    assert_eq!(told(&cancelled.expect_err("cancelled")).0, "57014");
    // One line tells of all.
    let lines = |text: &str| proxy.log().lines().filter(|l| l.contains(text)).count();
    assert_eq!(lines("leaves no room for more clients: refused"), 1);
    assert_eq!(lines("cannot accept"), 0);
    let denied = proxy
        .metric("pgvalet_denials_total", &["reason=\"no_descriptors\""])
        .await;
    assert_eq!(denied, Some(refused as f64));
    // It is a trouble, with what to do, until there is room again when clients leave.
    let trouble = wait_trouble(&proxy, "descriptors").await;
    let sentence = trouble["sentence"].as_str().expect("a sentence");
    let says = "all for which the limit of 256 open files leaves room; more are refused";
    assert!(sentence.ends_with(says), "{sentence}");
    let remedy = trouble["remedy"].as_str().expect("a remedy");
    assert!(remedy.contains("LimitNOFILE"), "{remedy}");
    drop(sessions);
    wait_over(&proxy, "descriptors").await;
    eventually("a client is served", Duration::from_secs(10), || async {
        connect(&proxy.dsn("app")).await.ok().map(drop)
    })
    .await;
}

/// Connections that say nothing keep nobody from being told.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_do_not_hold_up_the_others() {
    allow_many_files();
    let cluster = Cluster::start().await;
    let proxy = limited(&cluster, 128).await;
    let (directory, port) = proxy.unix();
    let path = directory.join(format!(".s.PGSQL.{port}"));
    let mut silent = Vec::new();
    for _ in 0..300 {
        // One that was closed at once says so only when it is written to.
        silent.push(
            tokio::net::UnixStream::connect(&path)
                .await
                .expect("connected"),
        );
    }
    let asked = Instant::now();
    let error = connect(&proxy.dsn("app")).await.err();
    if let Some(error) = error {
        assert!(error.is_closed() || told(&error).0 == "53300", "{error:?}");
    }
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert_eq!(proxy.get("/livez").await.0, 200);
}
