//! COPY in both directions, and COPY that goes wrong.

use std::pin::pin;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, TryStreamExt};

use crate::common::client::told;
use crate::common::setup::proxy;
use crate::common::{Cluster, Session};

const ROWS: usize = 20_000;

async fn copy_in(
    session: &Session,
    lines: impl Iterator<Item = String>,
) -> Result<u64, tokio_postgres::Error> {
    let mut sink = pin!(session.copy_in("copy items from stdin").await?);
    for line in lines {
        sink.send(Bytes::from(line)).await?;
    }
    sink.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_in_and_come_out_again() {
    let cluster = Cluster::start().await;
    for mode in ["transaction", "session"] {
        let proxy = proxy(&cluster, &format!("pool_mode = \"{mode}\"\npool_size = 1")).await;
        let session = proxy.connect("app").await;
        session
            .batch_execute("drop table if exists items; create table items (n int, t text)")
            .await
            .expect("a table");
        let lines = (0..ROWS).map(|n| format!("{n}\tvalue {n}\n"));
        assert_eq!(copy_in(&session, lines).await.expect("copied"), ROWS as u64);

        let out = session
            .copy_out("copy (select * from items order by n) to stdout")
            .await;
        let mut out = pin!(out.expect("COPY OUT"));
        let mut text = Vec::new();
        while let Some(chunk) = out.next().await {
            text.extend_from_slice(&chunk.expect("data"));
        }
        let expected: String = (0..ROWS).map(|n| format!("{n}\tvalue {n}\n")).collect();
        assert!(
            text == expected.as_bytes(),
            "what came out is what went in ({mode} mode)"
        );
        session
            .batch_execute("drop table items")
            .await
            .expect("the connection goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_fails_the_copy_and_nothing_else() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let session = proxy.connect("app").await;
    session
        .batch_execute("create table items (n int, t text)")
        .await
        .expect("a table");
    // The error comes while thousands of rows are still on their way.
    let lines = (0..ROWS).map(|n| {
        if n == 10 {
            "no number\tx\n".to_owned()
        } else {
            format!("{n}\tx\n")
        }
    });
    let error = copy_in(&session, lines).await.expect_err("a bad row");
    assert_eq!(told(&error).0, "22P02");
    assert_eq!(session.value("select count(*) from items").await, "0");
}

/// A client that abandons its COPY sends CopyFail; one that vanishes sends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_copy_leaves_the_server_connection_clean() {
    let cluster = Cluster::start().await;
    let proxy = proxy(&cluster, "pool_size = 1").await;
    let session = proxy.connect("app").await;
    session
        .batch_execute("create table items (n int, t text)")
        .await
        .expect("a table");
    {
        let mut sink = pin!(
            session
                .copy_in("copy items from stdin")
                .await
                .expect("COPY IN")
        );
        sink.send(Bytes::from_static(b"1\tx\n"))
            .await
            .expect("a row");
    }
    assert_eq!(session.value("select count(*) from items").await, "0");

    let vanishing = proxy.connect("app").await;
    let sink = vanishing
        .copy_in::<_, Bytes>("copy items from stdin")
        .await
        .expect("COPY IN");
    drop(vanishing);
    drop(sink);
    assert_eq!(session.value("select count(*) from items").await, "0");

    let reader = proxy.connect("app").await;
    let endless = "copy (select repeat('x', 1000) from generate_series(1, 1000000)) to stdout";
    let mut rows = pin!(reader.copy_out(endless).await.expect("COPY OUT"));
    assert!(rows.try_next().await.expect("data").is_some());
    drop(reader);
    assert_eq!(session.value("select 'clean'").await, "clean");
}
