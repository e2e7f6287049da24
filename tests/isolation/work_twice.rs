//! A session that moves does nothing again, and loses nothing.
//!
//! With `session_migration = "safe"` a session moves when its secret rotates. Its
//! statements that were prepared by SQL are prepared anew; tried, in one text
//! with the PREPARE: INSERT before and behind it, in a transaction, nextval,
//! NOTIFY, a second PREPARE, DEALLOCATE, EXECUTE, a comment, a function; each
//! over several attempts, also where the statement cannot be had again. And what
//! a moved session has to have still: custom settings that were made by SET, by
//! set_config in every writing, in DO, in a function, in a procedure, by
//! FunctionCall; or it has to stay where it is.

use std::time::{Duration, Instant};

use super::common::raw::query;
use super::common::{Cluster, Proxy, eventually, new_password};
use super::peer::{Peer, call};

struct World {
    cluster: Cluster,
    proxy: Proxy,
}

async fn world(cluster: Cluster, setup: &str) -> World {
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    cluster.execute(setup).await;
    let more = "pool_mode = \"session\"\nsession_migration = \"safe\"\npool_size = 60";
    let secret = cluster.secret("app_user", &password);
    let proxy = Proxy::with_one_database(&secret, more).start().await;
    World { cluster, proxy }
}

impl World {
    async fn peer(&self) -> Peer {
        let login = Peer::login(self.proxy.port, &[("user", "any"), ("database", "app")]).await;
        login.expect("let in")
    }

    async fn rotate(&self) {
        self.proxy.rotate(&self.cluster, "app_user").await;
    }

    /// Every session has moved, or says why it stays.
    async fn comes_to_rest(&self) {
        eventually(
            "all have moved or say why not",
            Duration::from_secs(30),
            || async {
                let status = self.proxy.status().await;
                let generations = status["databases"][0]["generations"].as_array()?;
                let holders = generations.get(1).map(|g| g["holders"].clone());
                let stay = holders
                    .as_ref()
                    .and_then(|h| h.as_array())
                    .into_iter()
                    .flatten();
                let says = |h: &serde_json::Value| {
                    h["reason"]
                        .as_str()
                        .is_some_and(|r| r.contains("cannot move"))
                };
                let all = stay.clone().all(says);
                (generations.len() == 1 || (all && stay.count() > 0)).then_some(())
            },
        )
        .await;
    }
}

/// The text, and what EXECUTE p says afterwards.
const TEXTS: &[(&str, &str)] = &[
    ("insert into log values ({n}); prepare p as select 42", "42"),
    ("prepare p as select 42; insert into log values ({n})", "42"),
    (
        "begin; insert into log values ({n}); prepare p as select 42; commit",
        "42",
    ),
    (
        "insert into log values ({n}); prepare p as select 42; prepare q as select 43",
        "42",
    ),
    (
        "prepare q as select 1; insert into log values ({n}); deallocate q; prepare p as select 42",
        "42",
    ),
    (
        "insert into log values ({n}); prepare p as select 42; execute p",
        "42",
    ),
    (
        "/* ; */ insert into log values ({n}); prepare p as select 42 -- ;",
        "42",
    ),
    (
        "with x as (insert into log values ({n}) returning n) select n from x; prepare p as select 42",
        "42",
    ),
    ("select logs({n}); prepare p as select 42", "42"),
    (
        "do $$ begin insert into log values ({n}); execute 'prepare p as select 42'; end $$",
        "42",
    ),
    (
        "select prepares('insert into log values ({n}) returning 42')",
        "42",
    ),
    (
        "prepare p as insert into log values ({n}) returning 42",
        "42",
    ),
    (
        "insert into log values ({n}); prepare p as select count(*) from gone",
        "0",
    ),
    (
        "insert into log values ({n}); prepare p(int) as select $1 + 41",
        "42",
    ),
];

const SETUP: &str = "
create table log (n int); grant all on log to public;
create table gone (n int); grant all on gone to public;
create function logs(n int) returns void language sql as 'insert into log values (n)';
create function prepares(sql text) returns void language plpgsql as
    $$ begin execute 'prepare p as ' || sql; end $$;
create function sets(n text, v text) returns text language plpgsql as
    $$ begin perform set_config(n, v, false); return v; end $$;
create procedure sets_by_call(n text, v text) language plpgsql as
    $$ begin perform set_config(n, v, false); end $$;
";

/// Judges in a world of each Postgres at hand, and fails with all that failed.
async fn in_every_version(judge: impl AsyncFn(&World) -> Vec<String>) {
    let mut failed = Vec::new();
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let major = cluster.binaries.major;
        let world = world(cluster, SETUP).await;
        let found = judge(&world).await;
        failed.extend(found.into_iter().map(|fault| format!("{major} {fault}")));
    }
    let list = failed.join("\n");
    assert!(failed.is_empty(), "{} failed\n{list}", failed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_again() {
    in_every_version(done_again).await;
}

/// Faults: work that was done again, or cannot be done any more.
async fn done_again(world: &World) -> Vec<String> {
    let mut failed = Vec::new();
    let mut sessions = Vec::new();
    for (n, (text, _)) in TEXTS.iter().enumerate() {
        let mut peer = world.peer().await;
        peer.run(&text.replace("{n}", &n.to_string()))
            .await
            .expect(text);
        sessions.push(peer);
    }
    let mut admin = Vec::new();
    let superuser = world.cluster.superuser().await;
    for n in 0..TEXTS.len() {
        admin.push(
            superuser
                .value(&format!("select count(*) from log where n = {n}"))
                .await,
        );
    }
    world.rotate().await;
    world.comes_to_rest().await;
    // Over several attempts of those that cannot.
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        for peer in &mut sessions {
            if let Err(fault) = peer.ask(&query("select 1")).await {
                failed.push(format!("a session: {fault}"));
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (n, ((text, wanted), peer)) in TEXTS.iter().zip(&mut sessions).enumerate() {
        let rows = superuser
            .value(&format!("select count(*) from log where n = {n}"))
            .await;
        if rows != admin[n] {
            failed.push(format!("{text}: {rows} rows, there were {}", admin[n]));
        }
        let execute = if text.contains("p(int)") {
            "execute p(1)"
        } else {
            "execute p"
        };
        let said = peer.said(execute).await;
        if said != *wanted {
            failed.push(format!("{text}: EXECUTE says {said}, wanted {wanted}"));
        }
    }
    failed
}

const SETS: &[&str] = &[
    "set app.a = 'mine'",
    "set U&\"\\0061pp\".a = 'mine'",
    "select set_config('app.a', 'mine', false)",
    "select \"set_config\"('app.a', 'mine', false)",
    "select pg_catalog.\"set_config\"('app' || '.a', 'mine', false)",
    "select set_config('app' || '.a', 'mine', false)",
    "select U&\"set\\005fconfig\"('app.a', 'mine', false)",
    "do $$ begin set app.a = 'mine'; end $$",
    "do $$ begin execute 'set app.' || 'a = ''mine'''; end $$",
    "select sets('app.a', 'mine')",
    "call sets_by_call('app.a', 'mine')",
    "begin; select sets('app.a', 'mine'); commit",
    "function call",
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost() {
    in_every_version(lost).await;
}

/// Faults: settings that a moved session does not have any more.
async fn lost(world: &World) -> Vec<String> {
    let mut failed = Vec::new();
    let mut sessions = Vec::new();
    for set in SETS {
        let mut peer = world.peer().await;
        let batch = match *set {
            "function call" => call(2078, &["app.a", "mine", "false"]),
            sql => query(sql),
        };
        let answer = peer.ask(&batch).await.expect(set);
        assert_eq!(answer.error(), None, "{set}");
        sessions.push(peer);
    }
    world.rotate().await;
    let look = "select coalesce(current_setting('app.a', true), '')";
    let until = Instant::now() + Duration::from_secs(4);
    let mut lost = vec![None; SETS.len()];
    while Instant::now() < until {
        for (peer, lost) in sessions.iter_mut().zip(&mut lost) {
            let seen = peer.said(look).await;
            if seen != "mine" && lost.is_none() {
                *lost = Some(seen);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for (set, seen) in SETS.iter().zip(lost) {
        if let Some(seen) = seen {
            failed.push(format!("{set}: got {seen:?}, wanted \"mine\""));
        }
    }
    failed
}
