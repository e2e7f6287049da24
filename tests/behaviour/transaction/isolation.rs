//! Acts of one client do not reach the next on the same server connection.

use std::time::Duration;

use crate::common::setup::proxy;
use crate::common::{Cluster, Session, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_clients_transaction_is_rolled_back() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        let proxy = proxy(&cluster, &format!("pool_mode = \"{mode}\"\npool_size = 1")).await;
        let setup = proxy.connect("app").await;
        setup
            .batch_execute("create table work (n int)")
            .await
            .expect("a table");
        setup.close().await;

        let killed = proxy.connect("app").await;
        killed
            .batch_execute("begin; insert into work values (1); lock table work in exclusive mode")
            .await
            .expect("in mid-transaction");
        drop(killed);

        let next = proxy.connect("app").await;
        assert_eq!(
            next.value("select count(*) from work").await,
            "0",
            "{mode} mode"
        );
        // Outside a transaction every statement has a new now().
        let first = next.value("select now()").await;
        assert_ne!(
            first,
            next.value("select now()").await,
            "{mode} mode: no transaction is open"
        );
        next.batch_execute("insert into work values (2)")
            .await
            .expect("no lock is left");
        next.batch_execute("drop table work")
            .await
            .expect("dropped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_clients_query_does_not_hold_the_pool() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let killed = proxy.connect("app").await;
    let admin = cluster.superuser().await;
    let sleeping = "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'";
    {
        let mut query = Box::pin(killed.batch_execute("select pg_sleep(120)"));
        tokio::select! {
            result = &mut query => panic!("{result:?}"),
            () = eventually("it sleeps", Duration::from_secs(10), || async {
                (admin.value(sleeping).await == "1").then_some(())
            }) => {}
        }
    }
    drop(killed);
    let next = proxy.connect("app").await;
    let answer = tokio::time::timeout(Duration::from_secs(20), next.value("select 'free'")).await;
    assert_eq!(answer.as_deref(), Ok("free"));
    eventually(
        "the query was ended upstream",
        Duration::from_secs(20),
        || async { (admin.value(sleeping).await == "0").then_some(()) },
    )
    .await;
}

async fn leave_traces(session: &Session) {
    session
        .batch_execute(
            "set work_mem = '77MB'; set search_path = pg_catalog; set timezone = 'Asia/Tokyo';
             create temp table traces (n int);
             select pg_advisory_lock(42);
             listen traces;
             prepare trace as select 1;
             declare traces_cursor cursor with hold for select 1",
        )
        .await
        .expect("traces");
}

#[tokio::test(flavor = "multi_thread")]
async fn session_state_ends_with_the_session() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_mode = \"session\"\npool_size = 1").await;
    let fresh = proxy.connect("app").await;
    let settings = "select current_setting('work_mem') || current_setting('search_path') || current_setting('timezone')";
    let defaults = fresh.value(settings).await;
    fresh.close().await;

    for vanishes in [false, true] {
        let first = proxy.connect("app").await;
        leave_traces(&first).await;
        // In its own session everything it did holds.
        assert_eq!(first.value("show work_mem").await, "77MB");
        assert_eq!(
            first.value("select count(*) from pg_temp.traces").await,
            "0"
        );
        if vanishes {
            drop(first);
        } else {
            first.close().await;
        }

        let next = proxy.connect("app").await;
        assert_eq!(next.value(settings).await, defaults);
        for (what, sql) in [
            (
                "temporary table",
                "select count(*) from pg_class where relname = 'traces'",
            ),
            (
                "advisory lock",
                "select count(*) from pg_locks where locktype = 'advisory'",
            ),
            ("channel", "select count(*) from pg_listening_channels()"),
            (
                "prepared statement",
                "select count(*) from pg_prepared_statements where name = 'trace'",
            ),
            (
                "cursor",
                "select count(*) from pg_cursors where name = 'traces_cursor'",
            ),
        ] {
            assert_eq!(next.value(sql).await, "0", "a {what} was left");
        }
        next.close().await;
    }
}

/// `SET ROLE` and `SET SESSION AUTHORIZATION` would be a change of identity.
#[tokio::test(flavor = "multi_thread")]
async fn an_assumed_role_is_given_back() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_mode = \"session\"\npool_size = 1").await;
    let first = proxy.connect("app").await;
    let user = first.value("select current_user").await;
    cluster
        .execute(&format!("create role other; grant other to {user}"))
        .await;
    first
        .batch_execute("set role other")
        .await
        .expect("granted");
    first.close().await;
    assert_eq!(
        proxy
            .connect("app")
            .await
            .value("select current_user")
            .await,
        user
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_was_terminated_is_replaced() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let session = proxy.connect("app").await;
    let pid = session.value("select pg_backend_pid()").await;
    cluster
        .execute(&format!("select pg_terminate_backend({pid})"))
        .await;
    // The client held no lease, so it need not notice: at most the one query
    // that met the dead connection fails.
    let _ = session.simple_query("select 1").await;
    let next = proxy.connect("app").await;
    assert_ne!(next.value("select pg_backend_pid()").await, pid);
}

/// A setting of a class of its own is in no list of the server's: pgvalet knows
/// it from the text alone, however that is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_custom_setting_is_the_clients_own_however_it_was_set() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    for (n, (set, name)) in [
        ("set app.a = 'mine'", "app.a"),
        ("/* orders-api */ set app.b = 'mine'", "app.b"),
        ("-- orders-api\nset app.c = 'mine'", "app.c"),
        ("set/**/app.d = 'mine'", "app.d"),
        ("set app.\"e\" = 'mine'", "app.e"),
        ("set \"app\" . f = 'mine'", "app.f"),
        ("select '--'; /* ; */ set app.g to 'mine'", "app.g"),
        ("set app.größe = 'mine'", "app.größe"),
    ]
    .into_iter()
    .enumerate()
    {
        let (one, other) = (proxy.connect("app").await, proxy.connect("app").await);
        // By both protocols.
        if n % 2 == 0 || set.contains(';') {
            one.simple_query(set).await.expect("set");
        } else {
            one.execute(set, &[]).await.expect("set");
        }
        let shown = format!("select coalesce(current_setting('{name}', true), '')");
        assert_eq!(other.value(&shown).await, "", "{set}: it leaked");
        assert_eq!(one.value(&shown).await, "mine", "{set}: it was lost");
    }
}

/// Whatever the client's encoding makes of its letters.
#[tokio::test(flavor = "multi_thread")]
async fn a_setting_is_the_clients_own_in_every_encoding() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    for encoding in ["UTF8", "LATIN1"] {
        let (one, other) = (proxy.connect("app").await, proxy.connect("app").await);
        for sql in [
            &format!("set client_encoding = '{encoding}'"),
            "set my.street = 'größe'",
            "set search_path = 'straße'",
        ] {
            one.batch_execute(sql).await.expect(sql);
        }
        let mine = "select current_setting('my.street') || current_setting('search_path')";
        let before = one.value(mine).await;
        assert!(before.starts_with("größe"), "{encoding}: {before}");
        for _ in 0..2 {
            other.value("select 1").await;
            assert_eq!(one.value(mine).await, before, "{encoding}");
        }
    }
}

/// Only the beginning of a text is looked at closely if the text is too long to
/// be held.
#[tokio::test(flavor = "multi_thread")]
async fn a_custom_setting_at_the_end_of_a_long_text_is_the_clients_own() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 2").await;
    let long = "x".repeat(100 * 1024);
    for (set, name) in [
        (format!("select '{long}'; set app.a = 'mine'"), "app.a"),
        (
            format!("select '{long}'; /**/ reset x.y; set app.b = 'mine'"),
            "app.b",
        ),
        (
            format!("select '{long}', set_config('app.c', 'mine', false)"),
            "app.c",
        ),
    ] {
        let (one, other) = (proxy.connect("app").await, proxy.connect("app").await);
        one.simple_query(&set).await.expect("set");
        let shown = format!("select coalesce(current_setting('{name}', true), '')");
        for _ in 0..3 {
            assert_eq!(other.value(&shown).await, "", "{name} leaked");
            assert_eq!(one.value(&shown).await, "mine", "{name} was lost");
        }
    }
    // By the extended protocol, without a name and with one.
    let (one, other) = (proxy.connect("app").await, proxy.connect("app").await);
    for (n, name) in ["app.d", "app.e"].into_iter().enumerate() {
        let set = format!("select '{long}', set_config('{name}', 'mine', false)");
        if n == 0 {
            one.query_typed(&set, &[]).await.expect("set");
        } else {
            one.query(&set, &[]).await.expect("set");
        }
        let shown = format!("select coalesce(current_setting('{name}', true), '')");
        assert_eq!(other.value(&shown).await, "", "{name} leaked");
        assert_eq!(one.value(&shown).await, "mine", "{name} was lost");
    }
}
