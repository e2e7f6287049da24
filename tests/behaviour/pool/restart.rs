//! Restarts of the server under load: only statements that were running fail, and every
//! client that waits or is idle goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use tokio_postgres::Error;

use crate::common::ledger;
use crate::common::setup::proxy;
use crate::common::{Cluster, Session, connect};

/// The server connections: so many statements can be running.
const POOL: usize = 8;
/// Clients that are connected, and silent during each restart.
const IDLE: usize = 4;

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Statements that failed since the last restart began.
    failed: AtomicUsize,
    done: AtomicUsize,
}

/// Writes lines until it is stopped, one statement after the other. A line whose statement
/// failed may be there or not: that is looked up, and it is written if it is not.
async fn work(dsn: String, id: usize, shared: Arc<Shared>) -> (usize, String) {
    let mut line = 0;
    let mut session = come(&dsn).await;
    while !shared.stop.load(Relaxed) {
        let insert = format!("insert into ledger values ({id}, {line})");
        match session.simple_query(&insert).await {
            Ok(_) => {}
            Err(error) => {
                if let Some(wrong) = unexpected(&error) {
                    return (line, format!("line {line}: {wrong}"));
                }
                shared.failed.fetch_add(1, Relaxed);
                let written = loop {
                    // An error has ended the session before.
                    session = come(&dsn).await;
                    let there = format!("select count(*) from ledger where client = {id}");
                    match session.simple_query(&there).await {
                        Ok(rows) => break first(&rows),
                        // Running as well, when the server went on with its restart.
                        Err(error) => {
                            if let Some(wrong) = unexpected(&error) {
                                return (line, wrong);
                            }
                        }
                    }
                };
                if written == line.to_string() {
                    continue;
                }
                if written != (line + 1).to_string() {
                    return (line, format!("{line} lines, and {written}"));
                }
            }
        }
        line += 1;
        shared.done.fetch_add(1, Relaxed);
    }
    (line, String::new())
}

fn first(rows: &[tokio_postgres::SimpleQueryMessage]) -> String {
    let row = rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    row.unwrap_or_default()
}

/// A client that comes is never refused.
async fn come(dsn: &str) -> Session {
    match connect(dsn).await {
        Ok(session) => session,
        Err(error) => panic!("a client that came was refused: {error:?}"),
    }
}

/// What is wrong with the error of a statement that was running, if anything.
fn unexpected(error: &Error) -> Option<String> {
    let code = error.code().map(|code| code.code().to_owned());
    match code.as_deref() {
        // The server ends its sessions, or has hung up.
        Some("57P01" | "08006") => None,
        _ => Some(format!("{error:?}")),
    }
}

async fn restarts(clients: usize, restarts: usize) {
    let mut cluster = Cluster::start().await;
    let proxy = proxy(&cluster, &format!("pool_size = {POOL}")).await;
    ledger::create(&cluster).await;
    let shared = Arc::<Shared>::default();
    let dsn = proxy.dsn("app");
    let idle = join_all((0..IDLE).map(|_| come(&dsn))).await;
    for session in &idle {
        session.value("select 1").await;
    }
    let workers = (0..clients).map(|id| tokio::spawn(work(dsn.clone(), id, shared.clone())));
    let workers: Vec<_> = workers.collect();
    for number in 0..restarts {
        progress(&shared, clients).await;
        shared.failed.store(0, Relaxed);
        cluster.restart_fast().await;
        // Everybody has noticed by the time that everybody has written again.
        progress(&shared, clients).await;
        let failed = shared.failed.load(Relaxed);
        assert!(
            failed <= POOL,
            "restart {number}: {failed} statements failed on {POOL} connections"
        );
        for session in &idle {
            assert_eq!(session.value("select 'idle'").await, "idle");
        }
    }
    shared.stop.store(true, Relaxed);
    let admin = cluster.superuser().await;
    for (id, worker) in workers.into_iter().enumerate() {
        let (lines, wrong) = worker.await.expect("no client was refused");
        let ends = proxy.audit_of("session.end");
        let told: Vec<_> = ends
            .iter()
            .map(|r| (&r["sqlstate"], &r["reason"]))
            .collect();
        assert_eq!(wrong, "", "client {id}; what clients were told: {told:?}");
        let there = format!("select count(*) from ledger where client = {id}");
        assert_eq!(admin.value(&there).await, lines.to_string(), "client {id}");
    }
}

/// Waits until the clients have done so much that each had many turns.
async fn progress(shared: &Shared, clients: usize) {
    let before = shared.done.load(Relaxed);
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while shared.done.load(Relaxed) < before + 10 * clients {
        assert!(std::time::Instant::now() < deadline, "no progress");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_runs_fails_when_the_server_restarts() {
    restarts(16, 3).await;
}

/// `make chaos`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn only_what_runs_fails_when_the_server_restarts_at_length() {
    restarts(64, 10).await;
}
