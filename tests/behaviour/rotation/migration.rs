//! Sessions of session mode move to the version in force, with all they hold;
//! those that hold what cannot move stay, and it shows why.

use std::time::Duration;

use crate::common::client::told;
use crate::common::raw::{Raw, query, sqlstate};
use crate::common::{Cluster, Proxy, Session, eventually, new_password};

const PATIENCE: Duration = Duration::from_secs(20);

async fn world(more: &str) -> (Cluster, Proxy) {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let more = format!("pool_mode = \"session\"\nsession_migration = \"safe\"\n{more}");
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, &more).start().await;
    (cluster, proxy)
}

/// The password changes, first in Postgres; the version in force then.
async fn rotate(cluster: &Cluster, proxy: &Proxy) -> String {
    proxy.rotate(cluster, "app_user").await
}

async fn old_generation_is_gone(proxy: &Proxy) {
    eventually("the old generation is gone", PATIENCE, || async {
        let status = proxy.status().await;
        let generations = status["databases"][0]["generations"].as_array()?.len();
        (generations == 1).then_some(())
    })
    .await;
}

/// Why the sessions that hold the old generation do not move.
async fn reasons(proxy: &Proxy) -> Vec<String> {
    let status = proxy.status().await;
    let holders = status["databases"][0]["generations"][1]["holders"].clone();
    let reason = |h: &serde_json::Value| h["reason"].as_str().unwrap_or_default().to_owned();
    let mut reasons: Vec<_> = holders
        .as_array()
        .into_iter()
        .flatten()
        .map(reason)
        .collect();
    reasons.sort();
    reasons
}

async fn pid(session: &Session) -> String {
    session.value("select pg_backend_pid()").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_moves_with_all_that_can_move() {
    let (cluster, proxy) = world("pool_size = 6").await;
    let plain = proxy.connect("app").await;
    let rich = proxy.connect("app").await;
    let prepared = rich.prepare("select $1::int + 1").await.expect("prepared");
    cluster
        .execute(
            "create schema elsewhere; create table elsewhere.t as select 7 as n; \
             grant usage on schema elsewhere to app_user; grant select on elsewhere.t to app_user",
        )
        .await;
    rich.batch_execute(
        "set search_path = elsewhere; set timezone = 'Asia/Tokyo'; set app.tenant = 'x''y'",
    )
    .await
    .expect("state");
    rich.batch_execute("prepare counted(int) as select n + $1 from t")
        .await
        .expect("a statement of its own text");
    let before = [pid(&plain).await, pid(&rich).await];

    rotate(&cluster, &proxy).await;
    old_generation_is_gone(&proxy).await;
    let after = [pid(&plain).await, pid(&rich).await];
    assert!(
        before.iter().all(|pid| !after.contains(pid)),
        "{before:?} {after:?}"
    );
    let row = rich.query_one(&prepared, &[&41]).await.expect("a row");
    assert_eq!(row.get::<_, i32>(0), 42);
    assert_eq!(rich.value("execute counted(3)").await, "10");
    assert_eq!(rich.value("show timezone").await, "Asia/Tokyo");
    assert_eq!(rich.value("show search_path").await, "elsewhere");
    assert_eq!(
        rich.value("select current_setting('app.tenant')").await,
        "x'y"
    );
    // Still session mode: what is made now is there at the next statement.
    rich.batch_execute("create temp table kept()")
        .await
        .expect("made");
    rich.batch_execute("select 1").await.expect("another");
    rich.batch_execute("drop table kept")
        .await
        .expect("the same connection");
    // A name of before can be given anew, and DISCARD ALL leads to the start.
    rich.batch_execute("deallocate counted")
        .await
        .expect("known");
    rich.batch_execute("discard all").await.expect("discarded");
    assert_ne!(rich.value("show timezone").await, "Asia/Tokyo");

    let moved = proxy.metric("pgvalet_session_migrations_total", &[]).await;
    assert_eq!(moved, Some(2.0));
    let plain_again = rotate(&cluster, &proxy).await;
    old_generation_is_gone(&proxy).await;
    assert_eq!(plain.value("select 1").await, "1");
    let used = proxy.audit_seen("credential.use").await;
    let on = |r: &&serde_json::Value| r["credential"]["version"] == plain_again.as_str();
    assert_eq!(used.iter().filter(on).count(), 2, "{used:?}");
    proxy.assert_no_leak().await;
}

/// A statement that cannot be prepared anew: the session stays, and what its
/// client says while that is found out is answered like anything else.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_answered_also_where_moving_fails() {
    let (cluster, proxy) = world("pool_size = 4").await;
    cluster
        .execute("create table gone(n int); grant select on gone to app_user")
        .await;
    let session = proxy.connect("app").await;
    let prepare = "prepare lost as select * from gone";
    session.batch_execute(prepare).await.expect("prepared");
    let before = pid(&session).await;
    cluster.execute("drop table gone").await;
    rotate(&cluster, &proxy).await;
    let stays = || async {
        let reasons = reasons(&proxy).await;
        (reasons == ["session mode; cannot move: prepare"]).then_some(())
    };
    eventually("it says why", PATIENCE, stays).await;
    // Over several attempts, each of which logs in first.
    for _ in 0..1000 {
        let answer = tokio::time::timeout(PATIENCE, session.simple_query("select 1"));
        answer.await.expect("an answer").expect("no error");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(pid(&session).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_move_stays_and_says_why() {
    let (cluster, proxy) = world("pool_size = 8").await;
    cluster
        .execute("create role other; grant other to app_user")
        .await;
    let holds = [
        ("temp", "create temp table t()", "drop table t"),
        (
            "advisory",
            "select pg_advisory_lock(1)",
            "select pg_advisory_unlock(1)",
        ),
        (
            "cursor",
            "begin; declare c cursor with hold for select 1; commit",
            "close c",
        ),
        ("role", "set role other", "reset role"),
    ];
    let mut sessions = Vec::new();
    for (_, take, _) in holds {
        let session = proxy.connect("app").await;
        session.batch_execute(take).await.expect(take);
        let pid = pid(&session).await;
        sessions.push((session, pid));
    }
    let busy = proxy.connect("app").await;
    busy.batch_execute("begin").await.expect("begun");
    let in_transaction = pid(&busy).await;

    rotate(&cluster, &proxy).await;
    let expected = [
        "session mode",
        "session mode; cannot move: advisory",
        "session mode; cannot move: cursor",
        "session mode; cannot move: role",
        "session mode; cannot move: temp",
    ];
    eventually("each says why", PATIENCE, || async {
        (reasons(&proxy).await == expected).then_some(())
    })
    .await;
    for ((session, before), (_, _, give)) in sessions.iter().zip(holds) {
        assert_eq!(pid(session).await, *before);
        session.batch_execute(give).await.expect(give);
    }
    assert_eq!(pid(&busy).await, in_transaction, "not inside a transaction");
    busy.batch_execute("commit").await.expect("committed");
    // What kept them is gone, and so are they, after the next look.
    old_generation_is_gone(&proxy).await;
    for (session, before) in &sessions {
        assert_ne!(pid(session).await, *before);
    }
    assert_ne!(pid(&busy).await, in_transaction);
}

/// Every connection is held, and the old password works no longer: one session
/// makes room for the proof, and all of them get a new one, within the ceiling.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_pool_moves_within_its_ceiling() {
    let (cluster, proxy) = world("pool_size = 3").await;
    let mut sessions = Vec::new();
    for n in 0..3 {
        let session = proxy.connect("app").await;
        let set = format!("set app.number = '{n}'");
        session.batch_execute(&set).await.expect("set");
        sessions.push(session);
    }
    let admin = cluster.superuser().await;
    let backends = "select count(*) from pg_stat_activity where usename = 'app_user'";
    assert_eq!(admin.value(backends).await, "3");
    for _ in 0..3 {
        rotate(&cluster, &proxy).await;
        eventually("all have moved", PATIENCE, || async {
            let there: usize = admin.value(backends).await.parse().expect("a number");
            assert!(there <= 3, "{there} connections");
            let status = proxy.status().await;
            let generations = status["databases"][0]["generations"].as_array()?.len();
            (generations == 1 && there == 3).then_some(())
        })
        .await;
        for (n, session) in sessions.iter().enumerate() {
            let number = session.value("select current_setting('app.number')").await;
            assert_eq!(number, n.to_string());
        }
    }
}

/// Every notification is received once, also while the session moves; and the
/// session can stop listening afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn notifications_come_once_while_their_listener_moves() {
    let (cluster, proxy) = world("pool_size = 6").await;
    let mut raw = Raw::connect(&proxy).await;
    raw.ask(&query("listen news")).await;
    let admin = cluster.superuser().await;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let sender = tokio::spawn(async move {
        let mut sent = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let sql = format!("notify news, '{sent}'");
            admin.batch_execute(&sql).await.expect("sent");
            sent += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        admin
            .batch_execute("notify news, 'the end'")
            .await
            .expect("sent");
        sent
    });
    rotate(&cluster, &proxy).await;
    old_generation_is_gone(&proxy).await;
    rotate(&cluster, &proxy).await;
    old_generation_is_gone(&proxy).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let sent = sender.await.expect("no panic");
    let mut heard = Vec::new();
    while heard.last().map(String::as_str) != Some("the end") {
        let messages = raw.until(b'A').await;
        heard.extend(
            messages
                .iter()
                .filter(|(tag, _)| *tag == b'A')
                .map(|(_, body)| {
                    let mut fields = body[4..].split(|b| *b == 0).skip(1);
                    String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned()
                }),
        );
    }
    heard.pop();
    assert_eq!(heard, (0..sent).map(|n| n.to_string()).collect::<Vec<_>>());

    raw.ask(&query("unlisten news")).await;
    cluster.execute("notify news, 'to nobody'").await;
    let answers = raw.ask(&query("select 1")).await;
    assert_eq!(sqlstate(&answers), None);
    let answers = raw.ask(&query("select 1")).await;
    assert!(answers.iter().all(|(tag, _)| *tag != b'A'), "{answers:?}");
}

/// The user of a session changes with its version where two users take turns;
/// between transactions only, and the session is told.
#[tokio::test(flavor = "multi_thread")]
async fn the_user_changes_between_transactions_only() {
    let (cluster, proxy) = world("pool_size = 4").await;
    let password = new_password();
    cluster.create_role("app_user_clone", &password).await;
    let mut raw = Raw::connect(&proxy).await;
    raw.ask(&query("begin")).await;
    let secret = cluster.secret("app_user_clone", &password);
    let version = proxy.secret_put("app", &secret).await;
    proxy.wait_in_force("app", &version).await;
    let user = async |raw: &mut Raw| {
        let answers = raw.ask(&query("select current_user")).await;
        let row = answers.iter().find(|(tag, _)| *tag == b'D').expect("a row");
        (String::from_utf8_lossy(&row.1[6..]).into_owned(), answers)
    };
    assert_eq!(user(&mut raw).await.0, "app_user");
    raw.ask(&query("commit")).await;
    old_generation_is_gone(&proxy).await;
    let (user, mut seen) = user(&mut raw).await;
    assert_eq!(user, "app_user_clone");
    seen.extend(raw.ask(&query("select 1")).await);
    let told = b"session_authorization\0app_user_clone\0";
    let shown = seen.iter().any(|(tag, body)| *tag == b'S' && body == told);
    assert!(shown, "{seen:?}");
}

/// `terminate` spares transactions, up to a second, harder limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_has_a_limit_of_its_own() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let more = "drain_timeout = \"1s\"\ndrain_deadline_action = \"terminate\"\n\
         drain_hard_timeout = \"3s\"";
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, more).start().await;
    let busy = proxy.connect("app").await;
    busy.batch_execute("begin").await.expect("begun");
    rotate(&cluster, &proxy).await;
    let error = eventually("the transaction is over", PATIENCE, || async {
        busy.simple_query("select 1").await.err()
    })
    .await;
    if error.as_db_error().is_some() {
        assert_eq!(told(&error).0, "57P01");
    }
    eventually("it is recorded", PATIENCE, || async {
        let ended = proxy.audit_of("session.end");
        (ended.len() == 1 && ended[0]["sqlstate"] == "57P01").then_some(())
    })
    .await;
    old_generation_is_gone(&proxy).await;
}
