//! Attacks that need a running proxy: each is refused with a record, does not
//! help, and holds nobody else up.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::raw::{Raw, query, sqlstate};
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

const PATIENCE: Duration = Duration::from_secs(30);

async fn world() -> (Cluster, Proxy) {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "").start().await;
    (cluster, proxy)
}

/// Two thousand sockets that say nothing, or half of something. Those who mean
/// it get in all the same, from the same address.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_do_not_keep_others_out() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("raised");
    let (_cluster, proxy) = world().await;
    let mut slow = Vec::new();
    for n in 0..2000 {
        let mut socket = TcpStream::connect(("127.0.0.1", proxy.port))
            .await
            .expect("accepted");
        let beginning: &[u8] = match n % 3 {
            0 => b"",
            1 => b"\0\0",
            _ => b"\0\0\0\x50\0\x03\0\0user\0",
        };
        // The oldest have given way by now.
        let _ = socket.write_all(beginning).await;
        slow.push(socket);
        if n % 200 == 199 {
            let session = connect(&proxy.dsn("app")).await.expect("let in");
            assert_eq!(session.value("select 1").await, "1");
        }
    }
    for _ in 0..20 {
        let session = connect(&proxy.dsn("app")).await.expect("let in");
        assert_eq!(session.value("select 1").await, "1");
    }
    // Each has two seconds.
    eventually("they are turned away", PATIENCE, || async {
        let session = connect(&proxy.dsn("app")).await.expect("let in");
        assert_eq!(session.value("select 1").await, "1");
        let labels = ["reason=\"too_many_handshakes\""];
        let turned_away = proxy.metric("pgvalet_denials_total", &labels).await;
        (turned_away >= Some(1000.0)).then_some(())
    })
    .await;
}

/// This includes a client that the kernel keeps to itself at first, because it
/// has not spoken (TCP_DEFER_ACCEPT).
#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_or_half_of_it_is_hung_up_on() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, "")
        .listen("handshake_timeout = \"1s\"")
        .start()
        .await;
    let mut sockets = Vec::new();
    for beginning in [&b""[..], b"\0\0\0\x50\0\x03\0\0user\0"] {
        let mut socket = TcpStream::connect(("127.0.0.1", proxy.port))
            .await
            .expect("accepted");
        socket.write_all(beginning).await.expect("sent");
        sockets.push(socket);
    }
    for mut socket in sockets {
        let ended = tokio::time::timeout(PATIENCE, socket.read(&mut [0])).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
    }
    proxy.wait_denied(&["handshake_timeout"; 2]).await;
}

/// The attacker knows the process id, and guesses the key.
#[tokio::test(flavor = "multi_thread")]
async fn guessed_cancel_keys_cancel_nothing() {
    let (cluster, proxy) = world().await;
    let mut raw = Raw::open(&proxy).await;
    raw.start_up().await;
    let hello = raw.until(b'Z').await;
    let (_, key) = hello.iter().find(|(tag, _)| *tag == b'K').expect("a key");
    let (pid, key) = key.split_at(4);
    raw.send(&query("select pg_sleep(60)")).await;
    let admin = cluster.superuser().await;
    eventually("it sleeps", PATIENCE, || async {
        let sql = "select count(*) from pg_stat_activity where query like '%pg_sleep(60)' and state = 'active'";
        (admin.value(sql).await == "1").then_some(())
    })
    .await;
    let mut guesses = 0;
    let mut guess: [u8; 4] = key.try_into().expect("four bytes");
    for n in 0..200_u8 {
        guess[usize::from(n % 4)] ^= n | 1;
        if guess == *key {
            continue;
        }
        guesses += 1;
        let mut socket = TcpStream::connect(("127.0.0.1", proxy.port))
            .await
            .expect("accepted");
        let request = [&[0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e][..], pid, &guess].concat();
        socket.write_all(&request).await.expect("sent");
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "a cancel is never answered");
    }
    // It still sleeps, until the right key comes.
    let right = [&[0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e][..], pid, key].concat();
    assert!(right.len() == 16 && raw.is_silent());
    let mut socket = TcpStream::connect(("127.0.0.1", proxy.port))
        .await
        .expect("accepted");
    socket.write_all(&right).await.expect("sent");
    let done = raw.until(b'Z').await;
    assert_eq!(sqlstate(&done).as_deref(), Some("57014"), "{done:?}");
    // Counted when the connection is closed already.
    eventually("each is counted", PATIENCE, || async {
        let labels = ["reason=\"cancel_key\""];
        let denied = proxy.metric("pgvalet_denials_total", &labels).await;
        (denied >= Some(f64::from(guesses))).then_some(())
    })
    .await;
}

/// The text of a client selects a database by its name, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn no_client_chooses_its_server_or_its_role() {
    let (cluster, proxy) = world().await;
    let places = [
        format!("app host=127.0.0.1 port={}", cluster.port),
        format!("postgres://127.0.0.1:{}/postgres", cluster.port),
        format!("postgres@127.0.0.1:{}", cluster.port),
        "postgres".to_owned(),
        "APP".to_owned(),
        "app\nhost=127.0.0.1".to_owned(),
    ];
    for place in places {
        let mut config: tokio_postgres::Config = proxy.dsn("app").parse().expect("a DSN");
        config.dbname(&place);
        let refused = config.connect(tokio_postgres::NoTls).await.err();
        let refused = refused.unwrap_or_else(|| panic!("{place:?} was let in"));
        assert_eq!(refused.code().map(|c| c.code()), Some("28000"), "{place:?}");
        assert!(!refused.to_string().contains("127.0.0.1"), "{refused}");
    }
    for options in [
        "-c role=postgres",
        "-crole=postgres",
        "-c session_authorization=postgres",
        "--session-authorization=postgres",
        "--session_authorization=postgres",
        "-c search_path=x -c ROLE=postgres",
        "-c ro\\le=postgres",
    ] {
        let mut config: tokio_postgres::Config = proxy.dsn("app").parse().expect("a DSN");
        config.options(options);
        match config.connect(tokio_postgres::NoTls).await {
            Err(error) => assert!(error.code().is_some(), "{options}: {error}"),
            Ok(_) => panic!("{options:?} was let in"),
        }
    }
    let reasons = eventually("all of it is recorded", PATIENCE, || async {
        let denied = proxy.audit_of("session.deny");
        let reason = |r: &serde_json::Value| r["reason"].as_str().unwrap_or_default().to_owned();
        let reasons: Vec<String> = denied.iter().map(reason).collect();
        (reasons.len() == 13).then_some(reasons)
    })
    .await;
    let parameter = reasons.iter().filter(|r| *r == "parameter").count();
    assert_eq!(parameter, 7, "{reasons:?}");
}

/// What a message lacks never comes, and the server must not wait for it: with the goodbye for
/// the rest of a message, it once kept its slot for five seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_within_a_message_frees_its_server_connection() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let secret = cluster.secret("app_user", &password);
    let limits = "pool_size = 1\npool_wait_timeout = \"3s\"";
    let proxy = Proxy::with_one_database(&secret, limits).start().await;
    let text = format!("select '{}'", "x".repeat(200_000));
    let copied = [b"d\0\x01\0\0".as_slice(), &[b'1'; 60_000]].concat();
    for copy in [false, true] {
        let mut leaving = Raw::open(&proxy).await;
        leaving.start_up().await;
        leaving.until(b'Z').await;
        if copy {
            leaving.send(&query("copy (select 1) to stdout")).await;
            leaving.until(b'Z').await;
            leaving
                .send(&query("create temp table t (x text); copy t from stdin"))
                .await;
            leaving.until(b'G').await;
            leaving.send(&copied).await;
        } else {
            leaving.send(&query(&text)[..150_000]).await;
        }
        let server = cluster.superuser().await;
        eventually("it has begun to pass", PATIENCE, || async {
            let sql = "select count(*) from pg_stat_activity where usename = 'app_user'";
            (server.value(sql).await == "1").then_some(())
        })
        .await;
        drop(leaving);
        let next = connect(&proxy.dsn("app")).await.expect("let in");
        assert_eq!(next.value("select 1").await, "1", "copy: {copy}");
    }
}
