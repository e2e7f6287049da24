//! Session state in transaction mode: it follows the client where it can, keeps
//! the client on its server connection where it cannot, and never reaches
//! anybody else.

use std::time::Duration;

use crate::common::setup::proxy;
use crate::common::{Cluster, Proxy, Session, connect, eventually};

async fn two_servers(cluster: &Cluster) -> Proxy {
    proxy(cluster, "pool_size = 2").await
}

/// Asks as somebody else, on every other server connection there is.
async fn others_see(proxy: &Proxy, sql: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..4 {
        let other = proxy.connect("app").await;
        seen.push(other.value(sql).await);
        // Held, so that the next one meets another connection where there is one.
        other.batch_execute("begin").await.expect("a lease");
        let third = proxy.connect("app").await;
        // It waits where the only other connection is pinned.
        let waited = tokio::time::timeout(Duration::from_millis(300), third.value(sql)).await;
        seen.extend(waited);
        other.batch_execute("rollback").await.expect("rolled back");
    }
    seen.sort();
    seen.dedup();
    seen
}

/// Settings move with their client: `made` sets, `asked` reads.
async fn moves(proxy: &Proxy, made: &str, asked: &str, mine: &str, theirs: &str) {
    let owner = proxy.connect("app").await;
    owner.batch_execute(made).await.expect(made);
    for _ in 0..3 {
        assert_eq!(others_see(proxy, asked).await, [theirs], "{made}: leaked");
        assert_eq!(owner.value(asked).await, mine, "{made}: lost");
    }
    owner.close().await;
    assert_eq!(
        others_see(proxy, asked).await,
        [theirs],
        "{made}: leaked at the end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_follow_their_client_and_nobody_else() {
    let cluster = Cluster::start().await;
    let proxy = two_servers(&cluster).await;
    moves(
        &proxy,
        "set work_mem = '7MB'",
        "show work_mem",
        "7MB",
        "4MB",
    )
    .await;
    let zone = proxy.connect("app").await.value("show timezone").await;
    let tokyo = "Asia/Tokyo";
    moves(
        &proxy,
        "set timezone = 'Asia/Tokyo'",
        "show timezone",
        tokyo,
        &zone,
    )
    .await;
    moves(
        &proxy,
        "set statement_timeout = '9s'",
        "show statement_timeout",
        "9s",
        "0",
    )
    .await;
    let tenant = "select coalesce(current_setting('app.tenant', true), '')";
    moves(&proxy, "set app.tenant = 'blue'", tenant, "blue", "").await;
    moves(
        &proxy,
        "select set_config('app.tenant', 'red', false)",
        tenant,
        "red",
        "",
    )
    .await;
    // What was rolled back was never set.
    moves(
        &proxy,
        "begin; set work_mem = '7MB'; rollback",
        "show work_mem",
        "4MB",
        "4MB",
    )
    .await;
    moves(
        &proxy,
        "set work_mem = '7MB'; reset work_mem",
        "show work_mem",
        "4MB",
        "4MB",
    )
    .await;
    // DISCARD ALL leads back to what the client brought at its start.
    let dsn = format!("{} options='-c work_mem=6MB'", proxy.dsn("app"));
    let owner = connect(&dsn).await.expect("connected");
    for (sql, expected) in [("set work_mem = '7MB'", "7MB"), ("discard all", "6MB")] {
        owner.batch_execute(sql).await.expect(sql);
        assert_eq!(others_see(&proxy, "show work_mem").await, ["4MB"], "{sql}");
        assert_eq!(owner.value("show work_mem").await, expected, "{sql}");
    }
}

/// State that cannot move pins its client until it is gone.
async fn pins(proxy: &Proxy, pin: &str, made: &str, gone: &str) {
    let owner = proxy.connect("app").await;
    owner.batch_execute(made).await.expect(made);
    let backend = owner.value("select pg_backend_pid()").await;
    let others = others_see(proxy, "select pg_backend_pid()").await;
    assert!(
        !others.contains(&backend),
        "{pin}: somebody else got its connection"
    );
    assert_eq!(
        owner.value("select pg_backend_pid()").await,
        backend,
        "{pin}: it moved"
    );
    owner.batch_execute(gone).await.expect(gone);
    released(proxy, &owner, &backend, pin).await;
    owner.close().await;
}

/// The connection is there for others again.
async fn released(proxy: &Proxy, owner: &Session, backend: &str, pin: &str) {
    eventually(
        &format!("{pin} is released"),
        Duration::from_secs(10),
        || async {
            owner.value("select 1").await;
            let others = others_see(proxy, "select pg_backend_pid()").await;
            others.iter().any(|o| o == backend).then_some(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_cannot_move_stays_and_is_released() {
    let cluster = Cluster::start().await;
    let proxy = two_servers(&cluster).await;
    for (pin, made, gone) in [
        ("temp", "create temp table t (a int)", "drop table t"),
        (
            "advisory",
            "select pg_advisory_lock(42)",
            "select pg_advisory_unlock(42)",
        ),
        (
            "cursor",
            "begin; declare c cursor with hold for select 1; commit",
            "close c",
        ),
        ("prepare", "prepare p as select 1", "deallocate p"),
        (
            "set_config",
            "do $$ begin perform set_config('x.' || 'y', '1', false); end $$; select set_config('x.' || 'y', '1', false)",
            "discard all",
        ),
    ] {
        pins(&proxy, pin, made, gone).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_nobody_elses() {
    let cluster = Cluster::start().await;
    let proxy = two_servers(&cluster).await;
    let owner = proxy.connect("app").await;
    let user = owner.value("select session_user").await;
    cluster.execute("create role other").await;
    cluster.execute(&format!("grant other to {user}")).await;
    owner
        .batch_execute("set role other")
        .await
        .expect("a member");
    assert_eq!(owner.value("select current_user").await, "other");
    assert_eq!(
        others_see(&proxy, "select current_user").await,
        [user.as_str()]
    );
    assert_eq!(owner.value("select current_user").await, "other");
    owner.close().await;
    assert_eq!(
        others_see(&proxy, "select current_user").await,
        [user.as_str()]
    );
}

/// Only a superuser can; in every mode nobody else becomes somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_authorization_is_nobody_elses() {
    let cluster = Cluster::start().await;
    cluster.execute("create role other").await;
    for mode in ["transaction", "statement", "session"] {
        let proxy = proxy(&cluster, &format!("pool_size = 2\npool_mode = \"{mode}\"")).await;
        let owner = proxy.connect("app").await;
        let user = owner.value("select session_user").await;
        cluster
            .execute(&format!("alter role {user} superuser"))
            .await;
        owner
            .batch_execute("set session authorization other")
            .await
            .expect("a superuser");
        let me = "select session_user || current_user";
        assert_eq!(owner.value(me).await, "otherother");
        let theirs = [user.as_str(), user.as_str()].concat();
        assert_eq!(proxy.connect("app").await.value(me).await, theirs);
        assert_eq!(owner.value(me).await, "otherother");
        if mode != "session" {
            let pools = proxy.status().await;
            let pinned = &pools["databases"][0]["pinned"];
            // The first found: it is a role as well.
            assert_eq!(pinned.as_object().map(|p| p.len()), Some(1), "{pinned}");
        }
        owner.close().await;
        for _ in 0..4 {
            assert_eq!(proxy.connect("app").await.value(me).await, theirs, "{mode}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_name_upstream_names_the_client() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        let template = "application_name = \"{application_name} [{client}]\"";
        let proxy = proxy(&cluster, &format!("pool_mode = \"{mode}\"\n{template}")).await;
        let dsn = format!("{} application_name=orders", proxy.dsn("app"));
        let session = connect(&dsn).await.expect("connected");
        let admin = cluster.superuser().await;
        let user = session.value("select current_user").await;
        let shown = format!(
            "select application_name from pg_stat_activity where usename = '{user}' and query like '%pg_backend_pid%'"
        );
        session.value("select pg_backend_pid()").await;
        assert_eq!(admin.value(&shown).await, "orders [api]", "{mode}");
        if mode == "session" {
            continue; // its own connection, and its own name after a SET
        }
        session
            .batch_execute("set application_name = 'worker'")
            .await
            .expect("set");
        for _ in 0..3 {
            session.value("select pg_backend_pid()").await;
            assert_eq!(admin.value(&shown).await, "worker [api]");
        }
        session
            .batch_execute("reset application_name")
            .await
            .expect("reset");
        session.value("select pg_backend_pid()").await;
        assert_eq!(admin.value(&shown).await, "orders [api]");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_left_is_gone_with_it() {
    let cluster = Cluster::start().await;
    let proxy = two_servers(&cluster).await;
    let locks = "select count(*) from pg_locks where locktype = 'advisory'";
    for made in [
        "create temp table t (a int)",
        "select pg_advisory_lock(42)",
        "listen here",
        "prepare p as select 1",
    ] {
        let owner = proxy.connect("app").await;
        owner.batch_execute(made).await.expect(made);
        owner.close().await;
    }
    let admin = cluster.superuser().await;
    eventually("the locks are gone", Duration::from_secs(5), || async {
        (admin.value(locks).await == "0").then_some(())
    })
    .await;
    let left = "select (select count(*) from pg_listening_channels()) \
         + (select count(*) from pg_prepared_statements where from_sql) \
         + (select count(*) from pg_class where relnamespace = pg_my_temp_schema())";
    assert_eq!(others_see(&proxy, left).await, ["0"]);
}
