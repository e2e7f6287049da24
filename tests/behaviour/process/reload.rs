//! A reload changes a pool in place: its ceiling, its generations, who holds what, its
//! drains and its statistics go on.

use std::time::Duration;

use serde_json::Value;

use crate::common::client::told;
use crate::common::sampler::Sampler;
use crate::common::{Cluster, Proxy, Session, connect, eventually, new_password};

async fn served(cluster: &Cluster, more: &str) -> Proxy {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    Proxy::with_one_database(&cluster.secret("app_user", &password), more)
        .start()
        .await
}

/// The status of the only pool.
async fn pool(proxy: &Proxy) -> Value {
    let status = proxy.status().await;
    assert_eq!(status["databases"].as_array().map(Vec::len), Some(1));
    status["databases"][0].clone()
}

/// Ends of sessions, which may come with an answer or instead of one.
async fn ends(session: &Session, sqlstate: &str) {
    eventually("the session ends", Duration::from_secs(10), || async {
        if session.is_closed() {
            return Some(());
        }
        let error = session.simple_query("select 1").await.err()?;
        assert!(error.is_closed() || told(&error).0 == sqlstate, "{error:?}");
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_pool_goes_on_whatever_changes() {
    let cluster = Cluster::start().await;
    let more = "pool_mode = \"session\"\npool_size = 3\nquery_timeout = \"60s\"\n\
         drain_timeout = \"1s\"\ndrain_deadline_action = \"wait\"";
    let proxy = served(&cluster, more).await;
    let sampler = Sampler::start(&cluster).await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        let session = proxy.connect("app").await;
        session.value("select 1").await;
        sessions.push(session);
    }
    let transactions = proxy.metric("pgvalet_transactions_total", &[]).await;
    proxy
        .reload(|text| {
            text.replace("query_timeout = \"60s\"", "query_timeout = \"50s\"")
                .replace("\"wait\"", "\"terminate\"")
        })
        .await;
    // A fourth client waits: there is no second pool for it.
    let fourth = {
        let dsn = proxy.dsn("app");
        tokio::spawn(async move {
            connect(&dsn)
                .await?
                .simple_query("select 1")
                .await
                .map(drop)
        })
    };
    eventually("it waits", Duration::from_secs(10), || async {
        (pool(&proxy).await["waiting"] == 1).then_some(())
    })
    .await;
    let seen = pool(&proxy).await;
    assert_eq!(seen["clients"], 4, "{seen}");
    assert_eq!(seen["servers"]["active"], 3, "{seen}");
    assert_eq!(seen["generations"][0]["number"], 1, "{seen}");
    let now = proxy.metric("pgvalet_transactions_total", &[]).await;
    assert!(now >= transactions, "{now:?}, {transactions:?} before");

    // The version that they hold drains by the deadline of the new configuration.
    sessions.pop().expect("three").close().await;
    fourth.await.expect("no panic").expect("served");
    proxy.rotate(&cluster, "app_user").await;
    let seen = pool(&proxy).await;
    assert_eq!(seen["generations"][0]["number"], 2, "{seen}");
    assert_eq!(seen["generations"][1]["number"], 1, "{seen}");
    for session in &sessions {
        ends(session, "57P01").await;
    }
    let most = sampler.most().await;
    assert!(most <= 3, "{most} server connections at once");
}

/// The database has moved to another server, and the configuration says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_moves_to_another_server() {
    let (cluster, other) = tokio::join!(Cluster::start(), Cluster::start());
    let password = new_password();
    for place in [&cluster, &other] {
        place.create_role("app_user", &password).await;
    }
    let keys = format!("pool_size = 2\nport = {}", cluster.port);
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), &keys)
        .start()
        .await;
    let busy = proxy.connect("app").await;
    busy.batch_execute("begin").await.expect("a transaction");
    let idle = proxy.connect("app").await;
    let port = "show port";
    assert_eq!(idle.value(port).await, cluster.port.to_string());
    // Nothing happens before the new server has let pgvalet in.
    let nowhere = crate::common::free_port();
    let to = |port: u16, new: u16| {
        move |text: String| text.replace(&format!("port = {port}"), &format!("port = {new}"))
    };
    proxy.reload(to(cluster.port, nowhere)).await;
    eventually("it is tried", Duration::from_secs(10), || async {
        let seen = pool(&proxy).await;
        let why = seen["last_error"].as_str()?;
        why.contains("as the reloaded configuration says")
            .then_some(())
    })
    .await;
    assert_eq!(idle.value(port).await, cluster.port.to_string());
    proxy.reload(to(nowhere, other.port)).await;
    eventually("the move", Duration::from_secs(10), || async {
        (idle.value(port).await == other.port.to_string()).then_some(())
    })
    .await;
    assert_eq!(busy.value(port).await, cluster.port.to_string());
    let seen = pool(&proxy).await;
    let holders = &seen["generations"][1]["holders"];
    assert_eq!(holders[0]["reason"], "in a transaction", "{seen}");
    busy.batch_execute("commit").await.expect("committed");
    assert_eq!(busy.value(port).await, other.port.to_string());
    eventually("it has drained", Duration::from_secs(10), || async {
        (proxy.audit_of("drain.end").len() == 1).then_some(())
    })
    .await;
    let admin = cluster.superuser().await;
    let left = "select count(*) from pg_stat_activity where usename = 'app_user'";
    assert_eq!(admin.value(left).await, "0");
}

/// Its session may finish its transaction, and is seen until then.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_goes_and_comes_back() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let proxy = Proxy::builder()
        .secret("app", &cluster.secret("app_user", &password))
        .database("app", "secret = \"app\"\npool_size = 2")
        .database("other", "secret = \"app\"")
        .start()
        .await;
    let busy = proxy.connect("app").await;
    busy.batch_execute("begin").await.expect("a transaction");
    let table = "[database.app]\nsecret = \"app\"\npool_size = 2\n";
    let with = |text: String| text.replace("[\"app\", \"other\"]", "[\"*\"]");
    proxy.reload(|text| with(text).replace(table, "")).await;
    let find = |status: &Value| {
        let databases = status["databases"].as_array().cloned().unwrap_or_default();
        databases.into_iter().find(|d| d["name"] == "app")
    };
    let status = proxy.status().await;
    let seen = find(&status).expect("it is still there");
    let holders = &seen["generations"][0]["holders"];
    assert_eq!(holders[0]["reason"], "in a transaction", "{seen}");
    assert!(
        seen["generations"][0]["draining_since"].is_string(),
        "{seen}"
    );
    assert!(connect(&proxy.dsn("app")).await.is_err(), "nobody new");
    // Back, while that one drains.
    proxy.reload(|text| text + "\n" + table).await;
    let new = proxy.connect("app").await;
    assert_eq!(new.value("select 1").await, "1");
    let seen = find(&proxy.status().await).expect("it is there");
    let numbers: Vec<_> = (0..2)
        .map(|i| seen["generations"][i]["number"].clone())
        .collect();
    assert_eq!(numbers, [2, 1], "{seen}");
    busy.batch_execute("commit").await.expect("committed");
    ends(&busy, "57P01").await;
    // Gone for good, and back: its statistics and its generations go on.
    drop((busy, new));
    let transactions = proxy
        .metric("pgvalet_transactions_total", &["database=\"app\""])
        .await;
    proxy.reload(|text| text.replace(table, "")).await;
    eventually("it is forgotten", Duration::from_secs(10), || async {
        find(&proxy.status().await).is_none().then_some(())
    })
    .await;
    proxy.reload(|text| text + "\n" + table).await;
    assert_eq!(proxy.connect("app").await.value("select 1").await, "1");
    let seen = find(&proxy.status().await).expect("it is there");
    assert_eq!(seen["generations"][0]["number"], 3, "{seen}");
    let now = proxy
        .metric("pgvalet_transactions_total", &["database=\"app\""])
        .await;
    assert!(now > transactions, "{now:?}, {transactions:?} before");
}

/// Sessions that logged in by the old secret end between transactions.
#[tokio::test(flavor = "multi_thread")]
async fn another_secret_is_another_pool() {
    let cluster = Cluster::start().await;
    let (old, new) = (new_password(), new_password());
    cluster.create_role("app_user", &old).await;
    cluster.create_role("new_user", &new).await;
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &old), "pool_size = 2")
        .secret("new", &cluster.secret("new_user", &new))
        .start()
        .await;
    let (busy, idle) = (proxy.connect("app").await, proxy.connect("app").await);
    busy.batch_execute("begin").await.expect("a transaction");
    proxy
        .reload(|text| text.replace("secret = \"app\"", "secret = \"new\""))
        .await;
    let session = proxy.connect("app").await;
    assert_eq!(session.value("select current_user").await, "new_user");
    ends(&idle, "57P01").await;
    let status = proxy.status().await;
    let databases = status["databases"].as_array().expect("a list");
    let seen = databases.iter().find(|d| d["secret"] == "app");
    let seen = seen.expect("the pool of the old secret is seen");
    let holders = &seen["generations"][0]["holders"];
    assert_eq!(holders[0]["reason"], "in a transaction", "{seen}");
    assert_eq!(busy.value("select current_user").await, "app_user");
    busy.batch_execute("commit").await.expect("committed");
    ends(&busy, "57P01").await;
    eventually("the old pool ends", Duration::from_secs(10), || async {
        let status = proxy.status().await;
        (status["databases"].as_array()?.len() == 1).then_some(())
    })
    .await;
}

/// A session goes on as it began.
#[tokio::test(flavor = "multi_thread")]
async fn another_pool_mode_is_for_new_sessions() {
    let cluster = Cluster::start().await;
    let proxy = served(&cluster, "pool_mode = \"session\"\npool_size = 2").await;
    let old = proxy.connect("app").await;
    let backend = old.value("select pg_backend_pid()").await;
    proxy
        .reload(|text| text.replace("pool_mode = \"session\"", "pool_mode = \"transaction\""))
        .await;
    // The second connection is shared; the first one is not.
    let (a, b) = (proxy.connect("app").await, proxy.connect("app").await);
    let shared = a.value("select pg_backend_pid()").await;
    assert_eq!(b.value("select pg_backend_pid()").await, shared);
    assert_ne!(shared, backend);
    assert_eq!(old.value("select pg_backend_pid()").await, backend);
    assert_eq!(pool(&proxy).await["pool_mode"], "transaction");
    old.close().await;
    for session in [&a, &b] {
        session.value("select 1").await;
    }
}

/// A limit that is set because of a query that does not end.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_limit_holds_for_sessions_that_there_are() {
    let cluster = Cluster::start().await;
    let proxy = served(&cluster, "").await;
    let session = proxy.connect("app").await;
    session.value("select 1").await;
    let limits = "[database.app]\nquery_timeout = \"1s\"\nidle_transaction_timeout = \"1s\"";
    proxy
        .reload(|text| text.replace("[database.app]", limits))
        .await;
    let cancelled = async || {
        let error = session.simple_query("select pg_sleep(3)").await.err()?;
        assert_eq!(told(&error).0, "57014");
        Some(())
    };
    // The limits are known after the next look at the sessions.
    eventually("it is cancelled", Duration::from_secs(20), cancelled).await;
    session.batch_execute("begin").await.expect("a transaction");
    eventually("it is ended", Duration::from_secs(10), || async {
        session.is_closed().then_some(())
    })
    .await;
}
