//! Load that keeps books: every transaction writes a line that only it can
//! write, and the client counts what it was told is done. Lines and counts
//! that agree prove that nothing was applied twice and nothing was lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::{Cluster, Session, connect};

/// How a client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Keeps its connection, with a prepared statement.
    Stays,
    /// A new connection for every few transactions.
    ComesAndGoes,
}

pub struct Ledger {
    database: String,
    stop: Arc<AtomicBool>,
    clients: Vec<Client>,
}

struct Client {
    id: i32,
    done: Arc<AtomicI64>,
    task: JoinHandle<Result<(), tokio_postgres::Error>>,
}

/// The table, in the database that secrets of a cluster lead to.
pub async fn create(cluster: &Cluster) {
    cluster
        .execute(
            "create table ledger (client int, line bigint, primary key (client, line)); \
             grant select, insert on ledger to public",
        )
        .await;
}

impl Ledger {
    /// Clients number `first` and up, with these habits, at one database.
    pub fn start(dsn: &str, database: &str, first: i32, habits: &[Habit]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (first..)
            .zip(habits)
            .map(|(id, habit)| {
                let done = Arc::new(AtomicI64::new(0));
                let task = work(dsn.to_owned(), id, *habit, stop.clone(), done.clone());
                let task = tokio::spawn(task);
                Client { id, done, task }
            })
            .collect();
        Self {
            database: database.to_owned(),
            stop,
            clients,
        }
    }

    /// The number of transactions that each client was told are done.
    pub fn progress(&self) -> Vec<i64> {
        self.clients.iter().map(|c| c.done.load(Relaxed)).collect()
    }

    /// A client that failed, at once instead of at the end.
    pub fn broken(&self) -> bool {
        self.clients.iter().any(|c| c.task.is_finished())
    }

    /// Ends the load; transactions in all. What went wrong is told as text.
    pub async fn close(self, cluster: &Cluster) -> Result<i64, String> {
        self.stop.store(true, Relaxed);
        let database = self.database;
        let ended = join_all(self.clients.into_iter().map(|c| async move {
            let told = c.task.await.expect("no client panicked");
            (c.id, c.done.load(Relaxed), told)
        }))
        .await;
        let admin = cluster.superuser().await;
        let mut total = 0;
        let mut wrong = String::new();
        for (id, done, told) in ended {
            if let Err(error) = told {
                wrong += &format!("{database}, client {id}, transaction {done}: {error:?}\n");
            }
            let lines = format!(
                "select count(*) || ' of ' || coalesce(max(line) + 1, 0) from ledger where client = {id}"
            );
            let lines = admin.value(&lines).await;
            if lines != format!("{done} of {done}") {
                wrong += &format!("{database}, client {id}: {done} told, {lines} applied\n");
            }
            total += done;
        }
        if wrong.is_empty() {
            Ok(total)
        } else {
            Err(wrong)
        }
    }
}

async fn work(
    dsn: String,
    id: i32,
    habit: Habit,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicI64>,
) -> Result<(), tokio_postgres::Error> {
    while !stop.load(Relaxed) {
        let session = connect(&dsn).await?;
        let insert = session
            .prepare("insert into ledger values ($1, $2)")
            .await?;
        let mut left = if habit == Habit::Stays { i64::MAX } else { 4 };
        while left > 0 && !stop.load(Relaxed) {
            line(&session, &insert, id, done.load(Relaxed)).await?;
            done.fetch_add(1, Relaxed);
            left -= 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        session.close().await;
    }
    Ok(())
}

/// Runs a transaction: simple, prepared, or both in one.
async fn line(
    session: &Session,
    insert: &tokio_postgres::Statement,
    id: i32,
    line: i64,
) -> Result<(), tokio_postgres::Error> {
    match line % 3 {
        0 => {
            let sql = format!("begin; insert into ledger values ({id}, {line}); commit");
            session.simple_query(&sql).await?;
        }
        1 => {
            session.execute(insert, &[&id, &line]).await?;
        }
        _ => {
            session.simple_query("begin").await?;
            session.execute(insert, &[&id, &line]).await?;
            session.simple_query("commit").await?;
        }
    }
    Ok(())
}
