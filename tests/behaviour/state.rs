//! Session state in transaction mode: it follows the client where it can, keeps
//! the client on its server connection where it cannot, and never reaches
//! anybody else.

use std::time::Duration;

use super::common::{Cluster, Proxy, Session, connect, eventually};
use super::protocol::proxy;

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
        ("listen", "listen here", "unlisten here"),
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
