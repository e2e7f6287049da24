//! Nothing leaks to the next client: whatever a session can hold, by whichever
//! way its client leaves, on the one server connection that there is.

use std::time::Duration;

use crate::common::new_password;
use crate::common::raw::{Raw, query, sqlstate};
use crate::common::{Cluster, Proxy, Session, connect, eventually};

const MODES: [&str; 2] = ["session", "transaction"];

struct State {
    what: &'static str,
    made: &'static str,
    /// A query whose first value says whether the state is there.
    look: &'static str,
    /// Why it keeps its client on a server connection in transaction mode.
    pins: Option<&'static str>,
    /// Makes it go.
    gone: &'static str,
}

const fn state(
    what: &'static str,
    made: &'static str,
    look: &'static str,
    pins: Option<&'static str>,
    gone: &'static str,
) -> State {
    State {
        what,
        made,
        look,
        pins,
        gone,
    }
}

const TEMPORARY: &str = "select (select count(*) from pg_class where relnamespace = pg_my_temp_schema()) \
     + (select count(*) from pg_proc where pronamespace = pg_my_temp_schema()) \
     + (select count(*) from pg_type where typnamespace = pg_my_temp_schema())";
const LOCKS: &str =
    "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()";

#[rustfmt::skip]
const STATES: &[State] = &[
    state("role", "set role other", "select current_user", Some("role"), "reset role"),
    state("session authorization", "set session authorization other", "select session_user",
        Some("session_authorization"), "reset session authorization"),
    state("reported setting", "set timezone = 'Asia/Tokyo'", "show timezone", None, "reset timezone"),
    state("application_name", "set application_name = 'mine'", "show application_name", None,
        "reset application_name"),
    state("encoding", "set client_encoding = 'LATIN1'", "show client_encoding", None,
        "reset client_encoding"),
    state("other setting", "set work_mem = '77MB'", "show work_mem", None, "reset work_mem"),
    state("search_path", "set search_path = pg_catalog", "show search_path", None,
        "reset search_path"),
    state("superuser's setting", "set session_replication_role = replica",
        "show session_replication_role", None, "reset session_replication_role"),
    state("timeout", "set statement_timeout = '99s'", "show statement_timeout", None,
        "reset statement_timeout"),
    state("isolation level", "set session characteristics as transaction isolation level serializable",
        "show default_transaction_isolation", None, "reset default_transaction_isolation"),
    state("read only", "set default_transaction_read_only = on", "show default_transaction_read_only", None,
        "set default_transaction_read_only to default"),
    state("deferrable", "set default_transaction_deferrable = on",
        "show default_transaction_deferrable", None, "reset default_transaction_deferrable"),
    state("setting by a function", "select set_config('work_mem', '77MB', false)", "show work_mem",
        None, "reset work_mem"),
    state("custom setting", "set app.tenant = 'blue'",
        "select coalesce(current_setting('app.tenant', true), '')", None, "reset app.tenant"),
    state("hidden setting", "select set_config('app' || '.user', 'blue', false)",
        "select coalesce(current_setting('app.user', true), '')", Some("set_config"), "discard all"),
    state("setting in a block", "do $$ begin set work_mem = '77MB'; end $$", "show work_mem", None,
        "reset work_mem"),
    state("table", "create temp table t (a int)", TEMPORARY, Some("temp"), "drop table t"),
    state("table of a query", "select 1 as a into temp t", TEMPORARY, Some("temp"), "discard temp"),
    state("view", "create temp view v as select 1", TEMPORARY, Some("temp"), "drop view v"),
    state("temporary sequence", "create temp sequence s", TEMPORARY, Some("temp"), "drop sequence s"),
    state("function", "create function pg_temp.f() returns int language sql as 'select 1'", TEMPORARY,
        Some("temp"), "drop function pg_temp.f()"),
    state("type", "create type pg_temp.e as enum ('a')", TEMPORARY, Some("temp"),
        "drop type pg_temp.e"),
    state("temporary search_path", "set search_path = pg_temp, public", "show search_path",
        Some("temp"), "reset search_path"),
    state("table in a block", "do $$ begin create temp table t (a int); end $$", TEMPORARY,
        Some("temp"), "drop table t"),
    state("lock", "select pg_advisory_lock(42)", LOCKS, Some("advisory"),
        "select pg_advisory_unlock(42)"),
    state("shared lock", "select pg_try_advisory_lock_shared(4, 2)", LOCKS, Some("advisory"),
        "select pg_advisory_unlock_all()"),
    state("cursor", "declare c cursor with hold for select 1",
        "select count(*) from pg_cursors where name = 'c'", Some("cursor"), "close c"),
    state("listen", "listen here", "select count(*) from pg_listening_channels()", Some("listen"),
        "unlisten *"),
    state("statement", "prepare p as select 1",
        "select count(*) from pg_prepared_statements where from_sql", Some("prepare"), "deallocate p"),
];

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Leaves {
    Politely,
    /// The socket is closed.
    Abruptly,
    /// The socket is closed within a transaction in which the state was made.
    InTransaction,
}

/// The login is a superuser's, who can do everything that one must not inherit.
async fn proxy(cluster: &Cluster, mode: &str) -> Proxy {
    let (role, password) = (format!("r{}", &new_password()[3..11]), new_password());
    cluster.create_role(&role, &password).await;
    cluster
        .execute(&format!("alter role {role} superuser"))
        .await;
    let more = format!("pool_mode = \"{mode}\"\npool_size = 1");
    Proxy::with_one_database(&cluster.secret(&role, &password), &more)
        .start()
        .await
}

async fn look(proxy: &Proxy, sql: &str) -> String {
    let next = proxy.connect("app").await;
    let seen = next.value(sql).await;
    // Again, in a lease of its own.
    assert_eq!(next.value(sql).await, seen);
    next.close().await;
    seen
}

async fn pinned(proxy: &Proxy) -> serde_json::Value {
    proxy.status().await["databases"][0]["pinned"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_client_meets_a_fresh_session() {
    let cluster = Cluster::start().await;
    cluster.execute("create role other").await;
    for mode in MODES {
        let proxy = proxy(&cluster, mode).await;
        for state in STATES {
            let State { what, made, .. } = state;
            let fresh = look(&proxy, state.look).await;
            for leaves in [Leaves::Politely, Leaves::Abruptly, Leaves::InTransaction] {
                let owner = proxy.connect("app").await;
                if leaves == Leaves::InTransaction {
                    owner.batch_execute("begin").await.expect("begun");
                }
                owner.batch_execute(made).await.expect(made);
                // It is heard of when the transaction is over.
                if leaves != Leaves::InTransaction || *what != "listen" {
                    holds(&proxy, &owner, state, &fresh, mode, leaves).await;
                }
                if leaves == Leaves::Politely {
                    owner.close().await;
                } else {
                    drop(owner);
                }
                let seen = look(&proxy, state.look).await;
                assert_eq!(seen, fresh, "{mode}: a {what} was left {leaves:?}");
                assert!(pinned(&proxy).await.is_null(), "{mode}: {what}");
            }
        }
    }
}

/// The owner itself has what it made, also when others come in between.
async fn holds(
    proxy: &Proxy,
    owner: &Session,
    state: &State,
    fresh: &str,
    mode: &str,
    leaves: Leaves,
) {
    let State { what, .. } = state;
    let mine = owner.value(state.look).await;
    assert_ne!(mine, fresh, "{mode}: no {what} was made");
    if mode == "transaction" && leaves == Leaves::Politely {
        match state.pins {
            None => assert_eq!(look(proxy, state.look).await, fresh, "a {what} leaked"),
            Some(reason) => {
                eventually(
                    &format!("{what} pins for {reason}"),
                    Duration::from_secs(10),
                    || async { (pinned(proxy).await[reason] == 1).then_some(()) },
                )
                .await;
            }
        }
    }
    assert_eq!(
        owner.value(state.look).await,
        mine,
        "{mode}: a {what} was lost"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gave_it_up_keeps_no_connection() {
    let cluster = Cluster::start().await;
    cluster.execute("create role other").await;
    let proxy = proxy(&cluster, "transaction").await;
    for state in STATES {
        let State {
            what, made, gone, ..
        } = state;
        let fresh = look(&proxy, state.look).await;
        let owner = proxy.connect("app").await;
        owner.batch_execute(made).await.expect(made);
        owner.value(state.look).await;
        owner.batch_execute(gone).await.expect(gone);
        let free = format!("the connection is free again: {what}");
        eventually(&free, Duration::from_secs(10), || async {
            owner.value("select 1").await;
            let labels = state.pins.map(|reason| format!("reason=\"{reason}\""));
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            let counted = proxy.metric("pgvalet_pinned_clients", &labels).await;
            // What nobody does has no series.
            (pinned(&proxy).await.is_null() && counted.is_none_or(|n| n == 0.0)).then_some(())
        })
        .await;
        // There is one connection, and its owner is still there.
        assert_eq!(look(&proxy, state.look).await, fresh, "a {what} was left");
        owner.close().await;
    }
}

/// A search_path that begins with pg_temp makes things temporary without a word.
#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_temporary_by_the_search_path_is_nobody_elses() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "transaction").await;
    let brought = |path: &str| format!("{} options='-c search_path={path}'", proxy.dsn("app"));
    for (dsn, set) in [
        (proxy.dsn("app"), "set search_path = pg_temp, public"),
        (proxy.dsn("app"), "set search_path = PG_TEMP"),
        (brought("pg_temp,public"), "select 1"),
        (brought("\"pg_temp\",public"), "select 1"),
    ] {
        let owner = connect(&dsn).await.expect("connected");
        for sql in [set, "create table t (a int)"] {
            owner.batch_execute(sql).await.expect(sql);
        }
        assert_eq!(owner.value("select count(*) from t").await, "0", "{dsn}");
        drop(owner);
        assert_eq!(look(&proxy, TEMPORARY).await, "0", "{dsn} {set}");
    }
}

/// State that ends with the transaction, which somebody else must not find open.
#[tokio::test(flavor = "multi_thread")]
async fn no_transaction_is_left() {
    let cluster = Cluster::start().await;
    for mode in MODES {
        let proxy = proxy(&cluster, mode).await;
        let table = format!("create table work_{mode} (n int)");
        cluster.execute(&table).await;
        let work = format!("select count(*) from work_{mode}");
        let insert = format!("insert into work_{mode} values (1)");
        for made in [
            "begin; set local work_mem = '77MB'".to_owned(),
            "begin; set local app.tenant = 'blue'".to_owned(),
            "begin; select set_config('app.tenant', 'blue', true)".to_owned(),
            "begin; set local role pg_monitor".to_owned(),
            "begin isolation level serializable read only".to_owned(),
            format!("begin; {insert}; savepoint s; declare c cursor for select 1"),
            format!("begin; {insert}; create temp table t (a int) on commit drop"),
            "begin; select pg_advisory_xact_lock(42)".to_owned(),
            // It has failed already.
            format!("begin; {insert}; savepoint s; set local work_mem = '77MB'; select 1/0"),
        ] {
            for leaves in [Leaves::Politely, Leaves::Abruptly] {
                let owner = proxy.connect("app").await;
                let failed = owner.batch_execute(&made).await.is_err();
                assert_eq!(failed, made.ends_with("1/0"), "{made}");
                if leaves == Leaves::Politely {
                    owner.close().await;
                } else {
                    drop(owner);
                }
                let next = proxy.connect("app").await;
                for (sql, expected) in [
                    ("show work_mem", "4MB"),
                    (
                        "select coalesce(current_setting('app.tenant', true), '')",
                        "",
                    ),
                    ("show transaction_isolation", "read committed"),
                    ("show transaction_read_only", "off"),
                    ("show role", "none"),
                    ("select count(*) from pg_cursors", "0"),
                    (TEMPORARY, "0"),
                    (LOCKS, "0"),
                    (work.as_str(), "0"),
                ] {
                    assert_eq!(
                        next.value(sql).await,
                        expected,
                        "{mode}, {leaves:?}: {made}"
                    );
                }
                // Outside a transaction every statement has a new now().
                let first = next.value("select now()").await;
                assert_ne!(next.value("select now()").await, first, "{mode}: {made}");
                next.close().await;
            }
        }
    }
}

/// The last value of a sequence belongs to the session.
#[tokio::test(flavor = "multi_thread")]
async fn a_sequences_last_value_is_nobody_elses_in_session_mode() {
    let cluster = Cluster::start().await;
    cluster.execute("create sequence counter").await;
    let proxy = proxy(&cluster, "session").await;
    for leaves in [Leaves::Politely, Leaves::Abruptly] {
        let owner = proxy.connect("app").await;
        let value = owner.value("select nextval('counter')").await;
        assert_eq!(owner.value("select lastval()").await, value);
        assert_eq!(owner.value("select currval('counter')").await, value);
        if leaves == Leaves::Politely {
            owner.close().await;
        } else {
            drop(owner);
        }
        let mut next = Raw::connect(&proxy).await;
        for sql in ["select lastval()", "select currval('counter')"] {
            let answer = next.ask(&query(sql)).await;
            assert_eq!(
                sqlstate(&answer).as_deref(),
                Some("55000"),
                "{leaves:?}: {sql}"
            );
        }
    }
}

/// The encoding of one client does not decide how the text of the next is read.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_brings_is_read_in_its_own_encoding() {
    let cluster = Cluster::start().await;
    for mode in MODES {
        let proxy = proxy(&cluster, mode).await;
        let dsn = |options: &str| format!("{} options='{options}'", proxy.dsn("app"));
        let latin = dsn("-c client_encoding=LATIN1");
        // The first of its kind learns on the connection what the server reports.
        connect(&latin).await.expect("connected").close().await;
        let german = connect(&dsn("-c my.street=groß -c search_path=größe"))
            .await
            .expect("connected");
        let seen = "select current_setting('my.street') || current_setting('search_path')";
        assert_eq!(german.value(seen).await, "großgröße", "{mode}");
        german.batch_execute("reset all").await.expect("reset");
        assert_eq!(german.value(seen).await, "großgröße", "{mode}");
    }
}

/// A client that brings settings leaves no more behind than others do.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_brought_is_gone_with_it() {
    let cluster = Cluster::start().await;
    for mode in MODES {
        let proxy = proxy(&cluster, mode).await;
        let seen = "select current_setting('work_mem') || current_setting('timezone') \
             || coalesce(current_setting('my.own', true), '')";
        let fresh = look(&proxy, seen).await;
        let options = "-c work_mem=77MB -c timezone=Asia/Tokyo -c my.own=x";
        let dsn = format!("{} options='{options}'", proxy.dsn("app"));
        for made in ["select 1", "reset all", "discard all", "begin; reset all"] {
            for leaves in [Leaves::Politely, Leaves::Abruptly] {
                let owner = connect(&dsn).await.expect("connected");
                owner.batch_execute(made).await.expect(made);
                assert_eq!(owner.value(seen).await, "77MBAsia/Tokyox", "{mode}: {made}");
                if leaves == Leaves::Politely {
                    owner.close().await;
                } else {
                    drop(owner);
                }
                assert_eq!(
                    look(&proxy, seen).await,
                    fresh,
                    "{mode}, {leaves:?}: {made}"
                );
            }
        }
    }
}

/// DISCARD ALL takes back neither of them, and no question shows the last: the client keeps its
/// connection, which ends with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_only_with_its_connection_reaches_nobody() {
    const HELD: [(&str, &str, &str); 4] = [
        (
            "select pg_replication_origin_create('o'); select pg_replication_origin_session_setup('o')",
            "select pg_replication_origin_session_is_setup()",
            "f",
        ),
        (
            "select pg_create_physical_replication_slot('s', true, true)",
            "select count(*) from pg_replication_slots where active_pid = pg_backend_pid()",
            "0",
        ),
        (
            "select pg_copy_physical_replication_slot('kept', 'copy', true)",
            "select count(*) from pg_replication_slots where active_pid = pg_backend_pid()",
            "0",
        ),
        (
            "select pg_backup_start('b', true)",
            "select pg_backend_pid()",
            "",
        ),
    ];
    let cluster = Cluster::start().await;
    cluster
        .execute("select pg_create_physical_replication_slot('kept', true)")
        .await;
    for mode in MODES {
        let proxy = proxy(&cluster, mode).await;
        for (made, look_for, nothing) in HELD {
            let owner = proxy.connect("app").await;
            let pid = owner.value("select pg_backend_pid()").await;
            owner.batch_execute(made).await.expect(made);
            let theirs = owner.value(look_for).await;
            assert_ne!(theirs, nothing, "{mode}: {made}: its owner has lost it");
            owner.close().await;
            let next = look(&proxy, look_for).await;
            match nothing {
                "" => assert_ne!(next, pid, "{mode}: {made}"),
                nothing => assert_eq!(next, nothing, "{mode}: {made}"),
            }
        }
        cluster
            .execute("select pg_replication_origin_drop('o')")
            .await;
    }
}
