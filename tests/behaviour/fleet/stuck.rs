//! What is in the way of a share is named, and strangers cannot take places that they do not use.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use super::size::{Load, share_becomes};
use super::{Keys, replicas_of};
use crate::common::cli::pgvalet;
use crate::common::{Cluster, Proxy, Session, connect, eventually, new_password};
use crate::health::{wait_over, wait_trouble};

const KEYS: &str = "pool_size = 8\nfleet_size = 8";

/// The first of the numbers of the locks of a database: that of the turn.
fn turn(database: &str) -> u32 {
    let text = format!("pgvalet fleet share {database}");
    let hash = digest(&SHA256, text.as_bytes());
    let first = hash.as_ref().first_chunk().expect("four bytes");
    u32::from_be_bytes(*first) & 0x7fff_fffc
}

/// A role that has nothing to do with the replicas.
async fn stranger(cluster: &Cluster) -> Session {
    let password = new_password();
    cluster.create_role("stranger", &password).await;
    let port = cluster.port;
    let dsn =
        format!("host=127.0.0.1 port={port} user=stranger password={password} dbname=postgres");
    connect(&dsn).await.expect("let in")
}

fn check(replica: &Proxy) -> (bool, String) {
    let done = pgvalet(&replica.config(), &["check"], "");
    let said = [done.stdout, done.stderr].concat();
    let words: Vec<String> = String::from_utf8_lossy(&said)
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    (done.status.success(), words.join(" "))
}

fn text(trouble: &Value, key: &str) -> String {
    trouble[key].as_str().expect("a text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_named_and_so_are_they_by_check() {
    let (cluster, keys) = (Cluster::start().await, Keys::new());
    let (role, replicas) = replicas_of(&cluster, &keys, 1, KEYS).await;
    let (fine, said) = check(&replicas[0]);
    assert!(fine, "{said}");
    for (revoke, grant) in [
        (
            "revoke select on pg_catalog.pg_locks from public",
            "grant select on pg_catalog.pg_locks to public",
        ),
        (
            "revoke select on pg_catalog.pg_stat_activity from public",
            "grant select on pg_catalog.pg_stat_activity to public",
        ),
    ] {
        cluster.execute(revoke).await;
        let load = Load::on(&replicas[0], 4);
        let trouble = wait_trouble(&replicas[0], "fleet_stuck").await;
        let sentence = text(&trouble, "sentence");
        assert!(sentence.contains("in fleet_size = 8"), "{sentence}");
        assert!(sentence.contains("(42501)"), "{sentence}");
        let remedy = text(&trouble, "remedy");
        assert!(remedy.contains(&format!("TO \"{role}\"")), "{remedy}");
        let status = replicas[0].status().await.to_string();
        assert!(!status.contains("pool_exhausted"), "{status}");
        let (fine, said) = check(&replicas[0]);
        assert!(
            !fine && said.contains("no share can be kept, because"),
            "{said}"
        );
        cluster.execute(grant).await;
        wait_over(&replicas[0], "fleet_stuck").await;
        assert!(load.end().await > 0);
    }
    let log = replicas[0].log();
    assert!(
        log.contains("WARN") && log.contains("trouble: the share of database app"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_holds_the_turn_is_named() {
    let (cluster, keys) = (Cluster::start().await, Keys::new());
    let (_, replicas) = replicas_of(&cluster, &keys, 1, KEYS).await;
    share_becomes("it has one", &replicas[0], |share| share >= 1).await;
    let stranger = stranger(&cluster).await;
    let turn = turn("app");
    stranger
        .simple_query(&format!("select pg_advisory_lock({turn}, 0)"))
        .await
        .expect("locked");
    let load = Load::on(&replicas[0], 6);
    let trouble = wait_trouble(&replicas[0], "fleet_stuck").await;
    let sentence = text(&trouble, "sentence");
    assert!(
        sentence.contains("is held by role \"stranger\", pid "),
        "{sentence}"
    );
    let (fine, said) = check(&replicas[0]);
    assert!(
        !fine && said.contains("is held by role \"stranger\""),
        "{said}"
    );
    stranger
        .simple_query(&format!("select pg_advisory_unlock({turn}, 0)"))
        .await
        .expect("unlocked");
    wait_over(&replicas[0], "fleet_stuck").await;
    share_becomes("it grows", &replicas[0], |share| share >= 6).await;
    assert!(load.end().await > 0);
}

/// Locks of somebody else are no share.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_takes_no_places_by_locks_alone() {
    let (cluster, keys) = (Cluster::start().await, Keys::new());
    let (_, replicas) = replicas_of(&cluster, &keys, 2, KEYS).await;
    let stranger = stranger(&cluster).await;
    for (class, value) in [(turn("app") + 1, 7), (turn("app") + 2, 100)] {
        stranger
            .simple_query(&format!("select pg_advisory_lock_shared({class}, {value})"))
            .await
            .expect("locked");
    }
    let load = Load::on(&replicas[0], 10);
    // The other replica keeps one, and the connection of the stranger itself counts.
    share_becomes("it has the rest", &replicas[0], |share| share >= 6).await;
    assert!(load.end().await > 0);
}

/// The session of a share counts nowhere, also while its database has no connection.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_two_databases_leave_each_other_their_places() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let keys = "secret = \"app\"\nfleet_size = 1\nserver_idle_timeout = \"1s\"";
    let proxy = Proxy::builder()
        .secret("app", &cluster.secret("app_user", &password))
        .database("one", keys)
        .database("two", keys)
        .start()
        .await;
    for database in ["one", "two", "one"] {
        let session = proxy.connect(database).await;
        assert_eq!(session.value("select 1").await, "1");
        session.close().await;
        // The place of the connection is free for the other database when it is closed.
        let open = "select count(*) from pg_stat_activity where usename = 'app_user' \
                    and application_name <> 'pgvalet fleet'";
        let admin = cluster.superuser().await;
        eventually("it is closed", Duration::from_secs(20), || async {
            (admin.value(open).await == "0").then_some(())
        })
        .await;
    }
}
