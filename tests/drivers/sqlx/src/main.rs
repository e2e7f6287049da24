//! sqlx, unmodified and with its default settings, in every pool mode. It
//! prepares every query, under names that it counts up on each connection.

use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::TryStreamExt;
use sqlx::postgres::{PgListener, PgPoolCopyExt, PgPoolOptions};
use sqlx::{Acquire, PgPool, Row};

type Result<T = ()> = std::result::Result<T, sqlx::Error>;

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Into::into)
}

async fn queries(pool: &PgPool, _: &str) -> Result {
    let user: String = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(pool)
        .await?;
    assert_eq!(Ok(user), std::env::var("PGVALET_TEST_USER"));
    let doubled = try_join_all((0..200i32).map(|n| async move {
        sqlx::query_scalar::<_, i32>(&format!("SELECT $1::int * 2 + {}", n % 5))
            .bind(n)
            .fetch_one(pool)
            .await
    }));
    let expected: Vec<i32> = (0..200).map(|n| n * 2 + n % 5).collect();
    assert_eq!(doubled.await?, expected);
    let error = sqlx::query("SELECT 1 / $1::int").bind(0).execute(pool).await;
    assert_eq!(sqlstate(&error.unwrap_err()).as_deref(), Some("22012"));
    let error = sqlx::query("SELEKT 1").execute(pool).await;
    assert_eq!(sqlstate(&error.unwrap_err()).as_deref(), Some("42601"));
    Ok(())
}

async fn transactions(pool: &PgPool, table: &str) -> Result {
    let insert = format!("INSERT INTO {table} VALUES ($1, 'x')");
    let count = format!("SELECT count(*) FROM {table}");
    let mut outer = pool.begin().await?;
    sqlx::query(&insert).bind(1).execute(&mut *outer).await?;
    let mut inner = outer.begin().await?;
    sqlx::query(&insert).bind(2).execute(&mut *inner).await?;
    sqlx::query("SELECT 1/0").execute(&mut *inner).await.unwrap_err();
    inner.rollback().await?;
    outer.commit().await?;
    // Dropped in the middle: sqlx rolls back when it uses the connection next.
    let mut dropped = pool.begin().await?;
    sqlx::query(&insert).bind(3).execute(&mut *dropped).await?;
    drop(dropped);
    let n: i64 = sqlx::query_scalar(&count).fetch_one(pool).await?;
    assert_eq!(n, 1);
    sqlx::query(&format!("DELETE FROM {table}")).execute(pool).await?;
    Ok(())
}

async fn streams(pool: &PgPool, _: &str) -> Result {
    let mut transaction = pool.begin().await?;
    let rows = sqlx::query("SELECT g, repeat('x', 500) FROM generate_series(1, 2000) g");
    let mut stream = rows.fetch(&mut *transaction);
    for expected in 1..=100 {
        let row = stream.try_next().await?.expect("a row");
        assert_eq!(row.get::<i32, _>(0), expected);
    }
    drop(stream); // the rest is read over before the next query
    let n: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&mut *transaction).await?;
    assert_eq!(n, 1);
    transaction.commit().await
}

async fn copies(pool: &PgPool, table: &str) -> Result {
    let rows: String = (0..3000).map(|n| format!("{n}\trow {n}\n")).collect();
    let mut copy = pool.copy_in_raw(&format!("COPY {table} FROM STDIN")).await?;
    copy.send(rows.as_bytes()).await?;
    assert_eq!(copy.finish().await?, 3000);
    let aborted = pool.copy_in_raw(&format!("COPY {table} FROM STDIN")).await?;
    aborted.abort("the client changes its mind").await?;
    let out = pool
        .copy_out_raw(&format!("COPY (SELECT * FROM {table} ORDER BY n) TO STDOUT"))
        .await?;
    let out = out.map_ok(|chunk| chunk.to_vec()).try_concat().await?;
    assert_eq!(out, rows.as_bytes());
    sqlx::query(&format!("DELETE FROM {table}")).execute(pool).await?;
    Ok(())
}

async fn notifications(pool: &PgPool, _: &str) -> Result {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("sqlx_channel").await?;
    sqlx::query("SELECT pg_notify('sqlx_channel', 'hello')")
        .execute(pool)
        .await?;
    let heard = tokio::time::timeout(Duration::from_secs(10), listener.recv()).await;
    assert_eq!(heard.expect("in time")?.payload(), "hello");
    listener.unlisten_all().await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    for mode in ["session", "transaction"] {
        let dsn = std::env::var(format!("PGVALET_TEST_DSN_{}", mode.to_uppercase()));
        // In session mode a client keeps its connection: no more than there are.
        let most = if mode == "session" { 4 } else { 8 };
        let pool = PgPoolOptions::new()
            .max_connections(most)
            .connect(&dsn.expect("the test's environment"))
            .await?;
        let table = format!("sqlx_{mode}");
        sqlx::query(&format!("CREATE TABLE IF NOT EXISTS {table} (n int, t text)"))
            .execute(&pool)
            .await?;
        queries(&pool, &table).await?;
        transactions(&pool, &table).await?;
        streams(&pool, &table).await?;
        copies(&pool, &table).await?;
        notifications(&pool, &table).await?;
        pool.close().await;
    }
    println!("5 checks in each mode");
    Ok(())
}
