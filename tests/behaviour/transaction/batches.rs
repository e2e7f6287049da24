//! Batches that drivers do not send, or only when something goes wrong: what
//! one client does with its batch must never reach the next one.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::common::raw::{Raw, close, message, parse, query, run, sqlstate, sync, tags};
use crate::common::setup::proxy;
use crate::common::{Cluster, Proxy};

/// Checks that another client gets a server connection, and that it works.
async fn others_are_served(proxy: &Proxy) {
    let other = async { proxy.connect("app").await.value("select 'served'").await };
    let answer = timeout(Duration::from_secs(10), other).await;
    assert_eq!(answer.as_deref(), Ok("served"));
}

/// Postgres passes over everything up to Sync after an error in a batch, a simple
/// query too. Nobody else can use that server connection until then.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_batch_ends_with_sync_and_with_nothing_else() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 2").await;
    let mut client = Raw::connect(&proxy).await;
    client
        .send(&[parse("", "selekt"), query("select 1")].concat())
        .await;
    assert_eq!(
        sqlstate(&client.until(b'E').await).as_deref(),
        Some("42601")
    );
    for _ in 0..4 {
        others_are_served(&proxy).await;
    }
    assert_eq!(tags(&client.ask(&sync()).await), "Z");
    assert_eq!(tags(&client.ask(&query("select 1")).await), "TDCZ");
}

/// The server broke the COPY off before it heard that the data is complete;
/// it ignores what comes late, and nothing must wait for an answer to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_end_of_copy_data_has_no_answer() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&query("create table numbers (n int)")).await;
    client.ask(&query("begin")).await;
    client.send(&query("copy numbers from stdin")).await;
    client.until(b'G').await;
    // More than Postgres reads before it looks at the first line.
    client
        .send(&message(b'd', "no number\n".repeat(20_000).as_bytes()))
        .await;
    assert_eq!(
        sqlstate(&client.until(b'Z').await).as_deref(),
        Some("22P02")
    );
    client.send(&message(b'c', b"")).await;
    let rollback = [parse("", "rollback"), run(""), sync()].concat();
    assert_eq!(tags(&client.ask(&rollback).await), "12CZ");
    others_are_served(&proxy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_on_behind_its_copy_data() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&query("create table numbers (n int)")).await;
    let copy = [parse("", "copy numbers from stdin"), run("")].concat();
    client.send(&[copy, message(b'H', b"")].concat()).await;
    client.until(b'G').await;
    let data = [message(b'd', b"1\n"), message(b'c', b"")].concat();
    let more = [parse("", "select n from numbers"), run(""), sync()].concat();
    assert_eq!(tags(&client.ask(&[data, more].concat()).await), "C12DCZ");
    others_are_served(&proxy).await;
}

/// The COPY fails between its CopyInResponse and its first look at the data,
/// so that the server finds the Sync that it would have passed over.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_before_its_data() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let mut client = Raw::connect(&proxy).await;
    client
        .ask(&query(
            "create table closed (n int);
             create function refuse() returns trigger language plpgsql as $$begin raise 'closed'; end$$;
             create trigger refuse before insert on closed execute function refuse()",
        ))
        .await;
    let copy = [parse("", "copy closed from stdin"), run(""), sync()].concat();
    assert_eq!(tags(&client.ask(&copy).await), "12GEZ");
    others_are_served(&proxy).await;
    let select = [parse("", "select 1"), run(""), sync()].concat();
    assert_eq!(tags(&client.ask(&select).await), "12DCZ");
}

/// The client is quick with its data here: there are two Syncs, and both are
/// answered; only one where the data is at fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_copy_with_a_sync_on_either_side() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let mut client = Raw::connect(&proxy).await;
    client
        .ask(&query(
            "create table open (n int);
             create table closed (n int);
             create function refuse() returns trigger language plpgsql as $$begin raise 'closed'; end$$;
             create trigger refuse before insert on closed execute function refuse()",
        ))
        .await;
    for table in ["open", "closed", "open", "closed"] {
        let copy = parse("", &format!("copy {table} from stdin"));
        let data = [message(b'd', b"no number\n"), message(b'c', b"")].concat();
        let batch = [copy, run(""), sync(), data, sync()].concat();
        assert_eq!(tags(&client.ask(&batch).await), "12GEZ", "{table}");
        if table == "closed" {
            assert_eq!(tags(&client.until(b'Z').await), "Z");
        }
        for _ in 0..3 {
            others_are_served(&proxy).await;
        }
        assert_eq!(tags(&client.ask(&query("select 1")).await), "TDCZ");
    }
}

/// To make room for a statement, another one is closed on the server. If the
/// server passes over that, the statement is still there.
#[tokio::test(flavor = "multi_thread")]
async fn an_eviction_in_a_failed_batch_did_not_happen() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let mut client = Raw::connect(&proxy).await;
    for n in 0..200 {
        let statement = parse(&format!("s{n}"), &format!("select {n}"));
        assert_eq!(tags(&client.ask(&[statement, sync()].concat()).await), "1Z");
    }
    let failing = [run("nothing"), parse("s200", "select 200"), sync()].concat();
    assert_eq!(
        sqlstate(&client.ask(&failing).await).as_deref(),
        Some("26000")
    );
    for n in 0..200 {
        let answer = client.ask(&[run(&format!("s{n}")), sync()].concat()).await;
        assert_eq!(tags(&answer), "2DCZ", "s{n}: {:?}", sqlstate(&answer));
    }
}

/// The unnamed statement on a server connection is somebody else's unless it
/// is known to be one's own.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_runs_another_clients_unnamed_statement() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let mut other = Raw::connect(&proxy).await;
    let theirs = [parse("", "select 'theirs'"), sync()].concat();
    let mine = [run(""), sync()].concat();

    let mut client = Raw::connect(&proxy).await;
    other.ask(&theirs).await;
    let answer = client.ask(&mine).await;
    assert_eq!(sqlstate(&answer).as_deref(), Some("26000"), "{answer:?}");

    // Its own was in a batch that had failed before.
    other.ask(&theirs).await;
    let failing = [run("nothing"), parse("", "select 'mine'"), sync()].concat();
    client.ask(&failing).await;
    let answer = client.ask(&mine).await;
    assert_eq!(sqlstate(&answer).as_deref(), Some("26000"), "{answer:?}");

    // And one that is too long to be remembered.
    let long = format!("select 'mine' -- {}", "x".repeat(1_100_000));
    client.ask(&[parse("", &long), sync()].concat()).await;
    other.ask(&theirs).await;
    let answer = client.ask(&mine).await;
    assert_eq!(sqlstate(&answer).as_deref(), Some("26000"), "{answer:?}");

    client
        .ask(&[parse("", "select 'mine'"), sync()].concat())
        .await;
    other.ask(&theirs).await;
    let answer = client.ask(&mine).await;
    assert_eq!(tags(&answer), "2DCZ");
    assert!(answer[1].1.ends_with(b"mine"), "{answer:?}");
}

/// The settings of another client come and go by a simple query, and that
/// ends the unnamed statement.
#[tokio::test(flavor = "multi_thread")]
async fn an_unnamed_statement_outlives_other_settings() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let mut client = Raw::connect(&proxy).await;
    client
        .ask(&[parse("", "select 'mine'"), sync()].concat())
        .await;
    let dsn = format!("{} application_name=other", proxy.dsn("app"));
    let _other = crate::common::connect(&dsn).await.expect("connected");
    let answer = client.ask(&[run(""), sync()].concat()).await;
    assert_eq!(tags(&answer), "2DCZ", "{:?}", sqlstate(&answer));
}

/// Answers of pgvalet's own pass no server that could slow the client down, so
/// pgvalet has to do that itself.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_wait_for_their_turn_are_bounded() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let before = crate::common::memory::resident_kib(&proxy).await;
    let mut client = Raw::connect(&proxy).await;
    client.ask(&[parse("s", "select 1"), sync()].concat()).await;
    client.send(&query("select pg_sleep(60)")).await;
    let round = [close("s"), parse("s", "select 1")].concat();
    let flood = round.repeat(1_000_000);
    let all = client.stream.write_all(&flood);
    let sent = timeout(Duration::from_secs(20), all).await;
    let after = crate::common::memory::resident_kib(&proxy).await;
    assert!(
        after < before + 48 * 1024,
        "{before} KiB grew to {after} KiB, sent: {sent:?}"
    );
}
