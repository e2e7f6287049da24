//! Clients that keep books of what they were told of each line they wrote: that it is there,
//! that it is not, or neither.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio_postgres::{Error, Statement};

use crate::common::{Cluster, Session, connect};

/// What a client knows of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It was told that the line is there.
    Done,
    /// It was told that it is not, or has not asked for it to stay.
    Refused,
    /// It lost its session before it was told.
    InDoubt,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Simple,
    Prepared,
    /// A transaction in one message.
    AtOnce,
    /// A transaction in three messages.
    Transaction,
    RolledBack,
}

const MANNERS: [Manner; 5] = [
    Manner::Simple,
    Manner::Prepared,
    Manner::AtOnce,
    Manner::Transaction,
    Manner::RolledBack,
];

struct Shared {
    dsn: String,
    stop: AtomicBool,
    done: AtomicUsize,
    /// An idle client has no server connection, and so nothing may end its session in silence.
    /// (Some drivers read an error between two statements as no more than the end.)
    never_silent: AtomicBool,
}

pub struct Book {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Result<Vec<Known>, String>>>,
}

/// What the books say in all.
#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub done: usize,
    pub refused: usize,
    pub in_doubt: usize,
}

pub async fn create(cluster: &Cluster) {
    // Without a key: a line that was written twice is to be there twice.
    let sql = "create table book (client int, line bigint); grant select, insert on book to public";
    cluster.execute(sql).await;
}

impl Book {
    pub fn open(dsn: String, clients: i32, never_silent: bool) -> Self {
        let shared = Arc::new(Shared {
            dsn,
            stop: AtomicBool::new(false),
            done: AtomicUsize::new(0),
            never_silent: AtomicBool::new(never_silent),
        });
        let clients = (0..clients)
            .map(|id| tokio::spawn(write(shared.clone(), id)))
            .collect();
        Self { shared, clients }
    }

    /// Waits until so many more lines were written.
    pub async fn progress(&self, lines: usize) {
        let wanted = self.shared.done.load(Relaxed) + lines;
        let deadline = std::time::Instant::now() + Duration::from_secs(90);
        while self.shared.done.load(Relaxed) < wanted {
            if self.clients.iter().any(JoinHandle::is_finished) {
                return; // which shows when the books are closed
            }
            assert!(std::time::Instant::now() < deadline, "no progress");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the work and compares the books with what is there.
    pub async fn close(self, cluster: &Cluster) -> Totals {
        self.shared.stop.store(true, Relaxed);
        let books = join_all(self.clients).await;
        let rows =
            "select client || ' ' || line || ' ' || count(*) from book group by client, line";
        let rows = cluster.superuser().await.column(rows).await;
        let there: BTreeMap<(usize, usize), u32> = rows
            .iter()
            .map(|row| {
                let fields: Vec<usize> = row
                    .split(' ')
                    .map(|n| n.parse().expect("a number"))
                    .collect();
                ((fields[0], fields[1]), fields[2] as u32)
            })
            .collect();
        let (mut totals, mut wrong) = (Totals::default(), Vec::new());
        let mut known = 0;
        for (client, book) in books.into_iter().enumerate() {
            let book = match book.expect("no client panicked") {
                Ok(book) => book,
                Err(error) => {
                    wrong.push(format!("client {client}: {error}"));
                    continue;
                }
            };
            for (line, entry) in book.into_iter().enumerate() {
                let count = there.get(&(client, line)).copied().unwrap_or(0);
                known += u32::min(count, 1);
                let right = match entry {
                    Known::Done => count == 1,
                    Known::Refused => count == 0,
                    Known::InDoubt => count <= 1,
                };
                if !right {
                    wrong.push(format!(
                        "client {client}, line {line}: {entry:?}, and there {count} times"
                    ));
                }
                match entry {
                    Known::Done => totals.done += 1,
                    Known::Refused => totals.refused += 1,
                    Known::InDoubt => totals.in_doubt += 1,
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(known as usize, there.len(), "lines that nobody wrote");
        totals
    }
}

async fn write(shared: Arc<Shared>, id: i32) -> Result<Vec<Known>, String> {
    let mut book = Vec::new();
    while !shared.stop.load(Relaxed) {
        let Ok((session, insert)) = come(&shared.dsn).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while !shared.stop.load(Relaxed) {
            let manner = MANNERS[book.len() % MANNERS.len()];
            let (known, error) = write_line(&session, &insert, id, book.len(), manner).await;
            book.push(known);
            shared
                .done
                .fetch_add(usize::from(known == Known::Done), Relaxed);
            let Some((step, error)) = error else { continue };
            let silent = error.as_db_error().is_none() && step == Step::First;
            if silent && shared.never_silent.load(Relaxed) {
                let line = book.len() - 1;
                return Err(format!(
                    "line {line} ({manner:?}): ended without a word: {error:?}"
                ));
            }
            if ends_the_session(&error) {
                break;
            }
            // A failure leaves a transaction open.
            if session.simple_query("rollback").await.is_err() {
                break;
            }
        }
    }
    Ok(book)
}

async fn come(dsn: &str) -> Result<(Session, Statement), Error> {
    let session = connect(dsn).await?;
    let insert = session.prepare("insert into book values ($1, $2)").await?;
    Ok((session, insert))
}

fn ends_the_session(error: &Error) -> bool {
    error
        .as_db_error()
        .is_none_or(|error| error.severity() == "FATAL")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Before it, the client had no transaction open.
    First,
    Later,
}

type Written = (Known, Option<(Step, Error)>);

async fn write_line(
    session: &Session,
    insert: &Statement,
    id: i32,
    line: usize,
    manner: Manner,
) -> Written {
    let values = format!("insert into book values ({id}, {line})");
    let one = async |sql: &str| session.simple_query(sql).await.map(|_| ());
    match manner {
        Manner::Simple => ended(one(&values).await, Step::First),
        Manner::Prepared => {
            let written = session.execute(insert, &[&id, &(line as i64)]).await;
            ended(written.map(|_| ()), Step::First)
        }
        Manner::AtOnce => ended(one(&format!("begin; {values}; commit")).await, Step::First),
        Manner::Transaction | Manner::RolledBack => {
            for (sql, step) in [("begin", Step::First), (&values, Step::Later)] {
                if let Err(error) = one(sql).await {
                    return (Known::Refused, Some((step, error)));
                }
            }
            match manner {
                Manner::RolledBack => match one("rollback").await {
                    Ok(()) => (Known::Refused, None),
                    Err(error) => (Known::Refused, Some((Step::Later, error))),
                },
                _ => ended(one("commit").await, Step::Later),
            }
        }
    }
}

/// What is known when the statement that was to make the line stay has ended.
fn ended(result: Result<(), Error>, step: Step) -> Written {
    match result {
        Ok(()) => (Known::Done, None),
        Err(error) if ends_the_session(&error) => (Known::InDoubt, Some((step, error))),
        Err(error) => (Known::Refused, Some((step, error))),
    }
}
