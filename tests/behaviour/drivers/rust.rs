//! tokio-postgres, with its default settings: it prepares every query, under
//! names that it counts up in the process, and sends whatever is polled together
//! as one pipeline.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join_all, poll_fn, try_join_all};
use futures_util::{SinkExt, TryStreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Error, NoTls, Notification};

use super::every_mode;
use crate::common::cancel::{SLEEP, sleeping};
use crate::common::{Cluster, Proxy};

/// A client, and the notifications that come for it.
async fn open(proxy: &Proxy, database: &str) -> (Client, UnboundedReceiver<Notification>) {
    let dsn = proxy.dsn(database);
    let (client, mut connection) = tokio_postgres::connect(&dsn, NoTls).await.expect("in");
    let (sender, heard) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message {
                let _ = sender.send(notification);
            }
        }
    });
    (client, heard)
}

/// More clients than a pool in transaction mode has connections; the same names
/// mean something else to each.
async fn prepared(proxy: &Proxy, database: &str) -> Result<(), Error> {
    let clients = join_all((0..8).map(|_| open(proxy, database))).await;
    let work = clients.iter().enumerate().map(async |(n, (client, _))| {
        let number = format!("select $1::int8 * {n}");
        let number = client.prepare(&number).await?;
        let text = client.prepare("select $1::text || $2, $3::bytea").await?;
        for i in 0..40_i64 {
            let row = client.query_one(&number, &[&i]).await?;
            assert_eq!(row.get::<_, i64>(0), i * n as i64);
            let bytes = vec![n as u8; i as usize];
            let row = client.query_one(&text, &[&"ä", &"€", &bytes]).await?;
            assert_eq!(row.get::<_, &str>(0), "ä€");
            assert_eq!(row.get::<_, Vec<u8>>(1), bytes);
        }
        // What it prepares by itself, and closes when it is dropped.
        for i in 0..10_i32 {
            let row = client.query_one("select $1::int4 + 1", &[&i]).await?;
            assert_eq!(row.get::<_, i32>(0), i + 1);
        }
        // Types that it has to look up in the catalogue.
        let row = client.query_one("select null::regrole::text", &[]).await?;
        assert_eq!(row.get::<_, Option<&str>>(0), None);
        let error = client.prepare("selekt").await.err();
        assert_eq!(
            error.as_ref().and_then(Error::code),
            Some(&SqlState::SYNTAX_ERROR)
        );
        Ok(())
    });
    try_join_all(work).await.map(|_: Vec<()>| ())
}

async fn pipelines(client: &Client) -> Result<(), Error> {
    let half = client.prepare("select 1000 / $1::int4").await?;
    let answers = (0..300_i32).map(async |n| {
        // Every tenth one fails, and nothing but that one.
        let divisor = if n % 10 == 0 { 0 } else { n };
        (n, client.query_one(&half, &[&divisor]).await)
    });
    for (n, answer) in join_all(answers).await {
        match answer {
            Ok(row) => assert_eq!(row.get::<_, i32>(0), 1000 / n),
            Err(error) => {
                assert_eq!(n % 10, 0, "{error}");
                assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
            }
        }
    }
    Ok(())
}

async fn transactions(client: &mut Client, table: &str) -> Result<(), Error> {
    let insert = format!("insert into {table} values ($1, 'x')");
    let count = format!("select count(*) from {table}");
    let mut outer = client.transaction().await?;
    outer.execute(&insert, &[&1_i32]).await?;
    let inner = outer.savepoint("within").await?;
    inner.execute(&insert, &[&2_i32]).await?;
    let error = inner.query_one("select 1/0", &[]).await.expect_err("by 0");
    assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
    inner.rollback().await?;
    // A portal, read in pieces.
    let portal = outer.bind("select generate_series(1, 25)", &[]).await?;
    let mut read = Vec::new();
    loop {
        let rows = outer.query_portal(&portal, 10).await?;
        if rows.is_empty() {
            break;
        }
        read.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
    }
    assert_eq!(read, (1..=25).collect::<Vec<_>>());
    outer.commit().await?;
    // Dropped, it is rolled back; so is one whose rows nobody read.
    let dropped = client.transaction().await?;
    dropped.execute(&insert, &[&3_i32]).await?;
    let rows = dropped.query_raw::<_, i32, _>("select generate_series(1, 5000)", []);
    drop(pin!(rows.await?).try_next().await?);
    drop(dropped);
    let row = client.query_one(&count, &[]).await?;
    assert_eq!(row.get::<_, i64>(0), 1);
    client.execute(&format!("delete from {table}"), &[]).await?;
    Ok(())
}

async fn copies(client: &Client, table: &str) -> Result<(), Error> {
    const ROWS: usize = 3000;
    let lines: Vec<String> = (0..ROWS).map(|n| format!("{n}\trow {n}\n")).collect();
    let into = format!("copy {table} from stdin");
    let mut sink = pin!(client.copy_in(&into).await?);
    for line in &lines {
        sink.send(Bytes::from(line.clone())).await?;
    }
    assert_eq!(sink.finish().await?, ROWS as u64);
    // One that is dropped is broken off, and leaves nothing.
    let mut aborted = Box::pin(client.copy_in(&into).await?);
    aborted.send(Bytes::from("1\tno\n")).await?;
    drop(aborted);
    let out = format!("copy (select * from {table} order by n) to stdout");
    let out = client.copy_out(&out).await?;
    let out: Vec<Bytes> = out.try_collect().await?;
    assert!(out.concat() == lines.concat().as_bytes());
    client.execute(&format!("delete from {table}"), &[]).await?;
    Ok(())
}

async fn notifications(proxy: &Proxy, database: &str) -> Result<(), Error> {
    let (listener, mut heard) = open(proxy, database).await;
    let (other, _heard) = open(proxy, database).await;
    listener.batch_execute("listen tokio_channel").await?;
    for n in 0..5 {
        let payload = n.to_string();
        let notify = "select pg_notify('tokio_channel', $1)";
        other.query(notify, &[&payload]).await?;
    }
    for n in 0..5 {
        let next = timeout(Duration::from_secs(10), heard.recv()).await;
        let next = next.expect("in time").expect("the connection is there");
        assert_eq!(
            (next.channel(), next.payload()),
            ("tokio_channel", &*n.to_string())
        );
    }
    listener
        .batch_execute("unlisten *; notify tokio_channel")
        .await?;
    // It goes on, and hears no more.
    assert_eq!(listener.query("select 1", &[]).await?.len(), 1);
    assert!(heard.try_recv().is_err());
    Ok(())
}

async fn cancels(cluster: &Cluster, client: &Client) -> Result<(), Error> {
    let token = client.cancel_token();
    let cancel = async {
        sleeping(cluster, 1).await;
        token.cancel_query(NoTls).await
    };
    let (result, sent) = tokio::join!(client.query(SLEEP, &[]), cancel);
    sent?;
    let error = result.expect_err("cancelled");
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    assert_eq!(client.query("select 1", &[]).await?.len(), 1);
    Ok(())
}

/// Settings stay with a session between its transactions.
async fn settings(client: &Client) -> Result<(), Error> {
    client
        .batch_execute("set work_mem = '7MB'; set timezone = 'Asia/Tokyo'")
        .await?;
    let names = ["work_mem", "timezone"];
    let shown = try_join_all(names.map(async |name| {
        let row = client
            .query_one("select current_setting($1)", &[&name])
            .await?;
        Ok::<_, Error>((name, row.get::<_, String>(0)))
    }));
    let shown: HashMap<&str, String> = shown.await?.into_iter().collect();
    assert_eq!(shown["work_mem"], "7MB");
    assert_eq!(shown["timezone"], "Asia/Tokyo");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokio_postgres() {
    let (cluster, proxy) = every_mode().await;
    for mode in ["session", "transaction"] {
        let (mut client, _heard) = open(&proxy, mode).await;
        let table = format!("tokio_{mode}");
        let create = format!("create table {table} (n int, t text)");
        client.batch_execute(&create).await.expect("a table");
        let checks = async {
            prepared(&proxy, mode).await?;
            pipelines(&client).await?;
            transactions(&mut client, &table).await?;
            copies(&client, &table).await?;
            notifications(&proxy, mode).await?;
            cancels(&cluster, &client).await?;
            settings(&client).await
        };
        checks
            .await
            .unwrap_or_else(|e| panic!("{mode} mode: {e:?}"));
    }
    proxy.assert_no_leak().await;
}
