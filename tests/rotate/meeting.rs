//! Rotators of one role whose databases have different names: advisory locks
//! are of one database, so they meet in one that all of them know.

use std::collections::{BTreeSet, HashMap};

use super::common::{Cluster, Proxy, cli};
use super::scene::{Scene, errors};

/// A second configuration for the same store and secret.
fn by_way_of(scene: &Scene, dbname: &str) -> Proxy {
    let base = scene.proxy.directory().display();
    let store =
        format!("kind = \"embedded\"\npath = \"{base}/store.db\"\nkey_file = \"{base}/store.key\"");
    let body = format!("secret = \"app\"\ndbname = \"{dbname}\"");
    Proxy::builder()
        .store(&store)
        .database("app", &body)
        .prepare()
}

async fn rotate(proxy: &Proxy) -> std::process::Output {
    let config = proxy.config();
    tokio::task::spawn_blocking(move || cli::pgvalet(&config, &["rotate", "app"], ""))
        .await
        .expect("the command ran")
}

/// Databases in which somebody asked for the lock, by the number of the
/// process in each line of the log.
fn locked_in(cluster: &Cluster) -> Vec<String> {
    let log = cluster.log();
    let pid = |l: &str| Some(l.split_once('[')?.1.split_once(']')?.0.to_owned());
    let word = |l: &str| Some(l.split_once(" database=")?.1.split(' ').next()?.to_owned());
    let mut databases = HashMap::new();
    let mut found = BTreeSet::new();
    for line in log.lines() {
        if let Some((pid, database)) = pid(line).zip(word(line)) {
            databases.insert(pid, database);
        } else if line.contains("pg_try_advisory_lock") {
            found.extend(pid(line).and_then(|pid| databases.get(&pid).cloned()));
        }
    }
    found.into_iter().collect()
}

async fn scene() -> (Scene, Vec<Proxy>) {
    let scene = Scene::new(Cluster::start().await).await;
    for sql in [
        "CREATE DATABASE one",
        "CREATE DATABASE two",
        "ALTER SYSTEM SET log_statement = 'all'",
        "SELECT pg_reload_conf()",
    ] {
        scene.cluster.execute(sql).await;
    }
    let proxies = ["one", "two"].map(|dbname| by_way_of(&scene, dbname));
    (scene, proxies.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn rotators_of_two_databases_exclude_each_other() {
    const ROUNDS: usize = 5;
    let (scene, proxies) = scene().await;
    for _ in 0..ROUNDS {
        let racers = (0..4).map(|n| rotate(&proxies[n % 2]));
        for output in futures_util::future::join_all(racers).await {
            assert!(output.status.success(), "{}", errors(&output));
        }
        scene.assert_whole().await;
    }
    assert_eq!(locked_in(&scene.cluster), ["postgres"]);
}

/// Two secrets for one role are two passwords of it: they take turns as well,
/// as do the two users that alternate.
#[tokio::test(flavor = "multi_thread")]
async fn the_lock_is_the_roles_too() {
    let (scene, proxies) = scene().await;
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    let role = "pgvalet rotates role app_user";
    let sql = format!(
        "SELECT pg_advisory_lock(('x' || encode(substr(sha256('{role}'), 1, 8), 'hex'))::bit(64)::bigint)"
    );
    let holder = scene.cluster.superuser().await;
    holder.value(&sql).await;
    let before = scene.labels();
    let waiting = tokio::spawn({
        let config = proxies[0].config();
        tokio::task::spawn_blocking(move || cli::pgvalet(&config, &["rotate", "app"], ""))
    });
    super::common::eventually(
        "it asks for the lock",
        std::time::Duration::from_secs(20),
        || async { (!locked_in(&scene.cluster).is_empty()).then_some(()) },
    )
    .await;
    assert_eq!(holder.value(held).await, "1");
    assert_eq!(scene.labels(), before, "nothing is changed out of turn");
    holder.value("SELECT pg_advisory_unlock_all()").await;
    let output = waiting.await.expect("no panic").expect("it ran");
    assert!(output.status.success(), "{}", errors(&output));
    scene.assert_whole().await;
}

/// A role that may not connect to `postgres` meets elsewhere; one that
/// pg_hba.conf keeps out there locks in its own database, and says so.
#[tokio::test(flavor = "multi_thread")]
async fn where_postgres_is_closed_they_meet_elsewhere() {
    let (scene, proxies) = scene().await;
    let sql = "REVOKE CONNECT ON DATABASE postgres FROM public";
    scene.cluster.execute(sql).await;
    for proxy in &proxies {
        let output = rotate(proxy).await;
        assert!(output.status.success(), "{}", errors(&output));
    }
    assert_eq!(locked_in(&scene.cluster), ["one"]);

    let sql = "GRANT CONNECT ON DATABASE postgres TO public";
    scene.cluster.execute(sql).await;
    scene.cluster.keep_out("postgres", "app_user").await;
    let output = rotate(&proxies[1]).await;
    assert!(output.status.success(), "{}", errors(&output));
    let said = errors(&output);
    assert!(said.contains("meet in database \"postgres\""), "{said}");
    assert_eq!(locked_in(&scene.cluster), ["one", "two"]);
}
