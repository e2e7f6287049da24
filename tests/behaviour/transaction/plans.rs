//! `reuse_plans`: a text that is parsed without a name again and again is prepared once, and
//! the client sees what it would see without that.

use crate::common::raw::{Raw, close, message, parse, query, run, sqlstate, sync, tags};
use crate::common::setup::proxy;
use crate::common::{Cluster, Proxy};

async fn start(cluster: &Cluster) -> (Proxy, Raw) {
    let proxy = proxy(cluster, "pool_size = 1\nreuse_plans = true").await;
    let client = Raw::connect(&proxy).await;
    (proxy, client)
}

fn unnamed(sql: &str) -> Vec<u8> {
    [parse("", sql), run(""), sync()].concat()
}

/// The value of the first column of the last row.
async fn value(client: &mut Raw, bytes: &[u8]) -> String {
    let answer = client.ask(bytes).await;
    let row = answer.iter().rfind(|(tag, _)| *tag == b'D');
    let row = row.unwrap_or_else(|| panic!("no row in {}: {answer:?}", tags(&answer)));
    String::from_utf8_lossy(row.1.get(6..).unwrap_or_default()).into_owned()
}

/// How often the server has bound copies of pgvalet's: it counts the plans it made or took.
const BOUND: &str = "select coalesce(sum(generic_plans + custom_plans), 0) \
    from pg_prepared_statements where name like 'pgvalet%'";

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_prepared_once_and_used_again() {
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let (proxy, mut client) = start(&cluster).await;
        for n in 0..10 {
            let answer = client.ask(&unnamed("select 7")).await;
            assert_eq!(tags(&answer), "12DCZ", "the {n}th time");
        }
        // The first time it may never come again.
        assert_eq!(value(&mut client, &query(BOUND)).await, "9");
        // Another client, too.
        let mut other = Raw::connect(&proxy).await;
        assert_eq!(value(&mut other, &unnamed("select 7")).await, "7");
        assert_eq!(value(&mut client, &query(BOUND)).await, "10");
        // Under another setting the text is another one.
        client.ask(&query("set datestyle = 'German, DMY'")).await;
        assert_eq!(value(&mut client, &unnamed("select 7")).await, "7");
        client.ask(&query("reset datestyle")).await;
        assert_eq!(value(&mut client, &query(BOUND)).await, "10");
    }
}

/// The answer to a Parse that did not reach the server comes when it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn each_message_has_its_answer_when_it_is_due() {
    let cluster = Cluster::start().await;
    let (_proxy, mut client) = start(&cluster).await;
    let flush = message(b'H', b"");
    let describe = message(b'D', b"S\0");
    for _ in 0..4 {
        client.ask(&unnamed("select 7")).await;
        client
            .send(&[parse("", "select 7"), flush.clone()].concat())
            .await;
        assert_eq!(tags(&client.until(b'1').await), "1");
        assert_eq!(tags(&client.ask(&[run(""), sync()].concat()).await), "2DCZ");
        assert_eq!(
            tags(&client.ask(&[parse("", "select 7"), sync()].concat()).await),
            "1Z"
        );
        // In a batch of its own it is the unnamed statement as well.
        assert_eq!(tags(&client.ask(&[run(""), sync()].concat()).await), "2DCZ");
        let described = [parse("", "select 7"), describe.clone(), run(""), sync()].concat();
        assert_eq!(tags(&client.ask(&described).await), "1tT2DCZ");
        let described = [parse("", "select 7"), describe.clone(), flush.clone()].concat();
        client.send(&described).await;
        assert_eq!(tags(&client.until(b'T').await), "1tT");
        assert_eq!(tags(&client.ask(&sync()).await), "Z");
        // Two batches at once, and two statements in one.
        client
            .send(&[unnamed("select 7"), unnamed("select 7")].concat())
            .await;
        for _ in 0..2 {
            assert_eq!(tags(&client.until(b'Z').await), "12DCZ");
        }
        let twice = [parse("", "select 7"), run(""), unnamed("select 8")].concat();
        assert_eq!(tags(&client.ask(&twice).await), "12DC12DCZ");
        // In a transaction.
        client.ask(&query("begin")).await;
        assert_eq!(value(&mut client, &unnamed("select 7")).await, "7");
        client.ask(&query("commit")).await;
    }
}

/// What the server refuses is parsed anew; an error that stays is the client's.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_refused_is_not_seen() {
    let cluster = Cluster::start().await;
    let (proxy, mut client) = start(&cluster).await;
    client.ask(&query("create table t as select 1 as a")).await;
    client
        .ask(&query(
            "create function forget() returns int language plpgsql as \
             $$ begin execute 'deallocate all'; return 1; end $$",
        ))
        .await;
    let all = unnamed("select * from t");
    for column in ["b", "c", "d"] {
        for _ in 0..4 {
            assert_eq!(tags(&client.ask(&all).await), "12DCZ");
        }
        // 0A000: it has more columns now, and nobody has told pgvalet.
        let change = format!("alter table t add column {column} int");
        cluster.execute(&change).await;
        assert_eq!(tags(&client.ask(&all).await), "12DCZ");
        for _ in 0..4 {
            client.ask(&all).await;
        }
        // 26000: a function deallocates it.
        client.ask(&query("select forget()")).await;
        assert_eq!(tags(&client.ask(&all).await), "12DCZ");
    }
    // Errors of the client's own: each once for each time.
    let divide = |by: &str| {
        let bind = [
            &b"\0\0\0\0\0\x01"[..],
            &(by.len() as u32).to_be_bytes(),
            by.as_bytes(),
            b"\0\0",
        ];
        let bind = message(b'B', &bind.concat());
        let execute = message(b'E', b"\0\0\0\0\0");
        [parse("", "select 6/$1::int"), bind, execute, sync()].concat()
    };
    for _ in 0..4 {
        assert_eq!(value(&mut client, &divide("3")).await, "2");
        let answer = client.ask(&divide("0")).await;
        assert_eq!(sqlstate(&answer).as_deref(), Some("22012"));
        assert_eq!(tags(&answer), "1EZ");
        let answer = client.ask(&divide("x")).await;
        assert_eq!(sqlstate(&answer).as_deref(), Some("22P02"));
        assert_eq!(tags(&answer), "1EZ");
        let answer = client.ask(&unnamed("selekt")).await;
        assert_eq!(sqlstate(&answer).as_deref(), Some("42601"));
        assert_eq!(tags(&answer), "EZ");
        // The text of an error names no statement of pgvalet's.
        let answer = client.ask(&unnamed("select 6/$1::int")).await;
        let text = format!("{answer:?}").into_bytes();
        assert!(
            !String::from_utf8_lossy(&text).contains("pgvalet_"),
            "{answer:?}"
        );
        assert_eq!(sqlstate(&answer).as_deref(), Some("08P01"));
    }
    let mut other = Raw::connect(&proxy).await;
    assert_eq!(value(&mut other, &divide("2")).await, "3");
}

/// A batch that holds more than one statement is not sent again: what it did is not done twice,
/// and its answers are its own.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_twice() {
    let cluster = Cluster::start().await;
    let (proxy, mut client) = start(&cluster).await;
    client.ask(&query("create table log (a int)")).await;
    let insert = || [parse("i", "insert into log values (1)"), run("i")].concat();
    for n in 1..=3 {
        for _ in 0..4 {
            client.ask(&unnamed("select 7")).await;
        }
        // A query that fails in the middle of a batch ends nothing of what comes behind it.
        let batch = [
            parse("", "select 7"),
            query("select 1/0"),
            insert(),
            close("i"),
            sync(),
        ];
        client.send(&batch.concat()).await;
        assert_eq!(tags(&client.until(b'Z').await), "1EZ");
        assert_eq!(tags(&client.until(b'Z').await), "12C3Z");
        let count = value(&mut client, &query("select count(*) from log")).await;
        assert_eq!(count, n.to_string());
    }
    // Another client gets its own row, whatever is under way for the first.
    for _ in 0..4 {
        client.ask(&unnamed("select 7")).await;
    }
    let late = [
        parse("", "select 7"),
        query("select 1/0"),
        query("select pg_sleep(0.3), 1/((random()*0)::int)"),
        query("select pg_sleep(0.5), 'of the first client'"),
        sync(),
    ];
    client.send(&late.concat()).await;
    let mut other = Raw::connect(&proxy).await;
    for n in 0..5 {
        let own = format!("select {n}");
        assert_eq!(value(&mut other, &query(&own)).await, n.to_string());
    }
}

/// What is computed when a text is parsed is computed each time.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_computed_at_parse_is_not_kept() {
    let cluster = Cluster::start().await;
    let (proxy, mut client) = start(&cluster).await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5 {
        seen.insert(value(&mut client, &unnamed("select 'now'::timestamptz(6)")).await);
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    // An IMMUTABLE function that reads a custom setting is folded into the plan.
    let tenant = "create function tenant() returns text immutable language sql as \
         $$ select current_setting('app.tenant') $$";
    client.ask(&query(tenant)).await;
    let mut other = Raw::connect(&proxy).await;
    for (who, name) in [(&mut client, "red"), (&mut other, "blue")] {
        who.ask(&query(&format!("set app.tenant = '{name}'"))).await;
        for _ in 0..5 {
            assert_eq!(value(who, &unnamed("select tenant()")).await, name);
        }
    }
}

/// However a table is made in front of another one, the text means the new one.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_make_a_table_is_noticed() {
    let cluster = Cluster::start().await;
    let (proxy, mut client) = start(&cluster).await;
    cluster
        .execute(
            "create schema front; create schema back; grant all on schema front, back to public",
        )
        .await;
    client
        .ask(&query("create table back.t as select 'old' as v"))
        .await;
    client.ask(&query("set search_path = front, back")).await;
    let ways: [fn(&str) -> Vec<u8>; 4] = [
        query,
        unnamed,
        |sql| [parse("n", sql), run("n"), close("n"), sync()].concat(),
        |sql| query(&format!("explain analyze {sql}")),
    ];
    let texts = [
        "create table front.t as select 'new' as v",
        "select 'new' as v into front.t",
    ];
    let mut other = Raw::connect(&proxy).await;
    for way in ways {
        for text in texts {
            for _ in 0..4 {
                assert_eq!(value(&mut client, &unnamed("select v from t")).await, "old");
            }
            assert_eq!(sqlstate(&other.ask(&way(text)).await), None, "{text}");
            for _ in 0..3 {
                assert_eq!(value(&mut client, &unnamed("select v from t")).await, "new");
            }
            client.ask(&query("drop table front.t")).await;
        }
    }
}
