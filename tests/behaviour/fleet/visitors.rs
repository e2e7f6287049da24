//! Clients that come and go through a load balancer, and note what they lost and where.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_postgres::Error;

use crate::common::client::simple_value;
use crate::common::connect;

/// Transactions of a visit, of two kinds each.
const WORK: usize = 10;

/// Which replica has the session: the name of its rule, which its database sets
/// (`client_setting`).
const WHERE: &str = "select current_setting('pgvalet.client')";

/// A visit that ended with an error.
#[derive(Debug)]
pub struct Lost {
    /// When the client began to connect.
    pub began: Instant,
    /// The replica that had its session, if there was one.
    pub replica: Option<String>,
    pub why: String,
}

pub struct Visitors {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<Lost>>>,
}

impl Visitors {
    /// So many for each address.
    pub fn start(dsns: &[String], each: usize) -> Self {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let all = dsns.iter().flat_map(|dsn| std::iter::repeat_n(dsn, each));
        let tasks =
            all.map(|dsn| tokio::spawn(come_and_go(dsn.clone(), stop.clone(), done.clone())));
        Self {
            tasks: tasks.collect(),
            stop,
            done,
        }
    }

    /// Visits that ended well so far.
    pub fn done(&self) -> usize {
        self.done.load(Relaxed)
    }

    /// Ends all, and says what was lost.
    pub async fn end(self) -> Vec<Lost> {
        self.stop.store(true, Relaxed);
        let mut lost = Vec::new();
        for task in self.tasks {
            lost.extend(task.await.expect("no panic"));
        }
        lost
    }
}

async fn come_and_go(dsn: String, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) -> Vec<Lost> {
    let mut lost = Vec::new();
    while !stop.load(Relaxed) {
        let (began, mut replica) = (Instant::now(), None);
        match visit(&dsn, &mut replica).await {
            Ok(()) => {
                done.fetch_add(1, Relaxed);
            }
            Err(error) => lost.push(Lost {
                began,
                replica,
                why: format!("{error:?}"),
            }),
        }
    }
    lost
}

async fn visit(dsn: &str, replica: &mut Option<String>) -> Result<(), Error> {
    let session = connect(dsn).await?;
    *replica = Some(simple_value(&session, WHERE).await?);
    let statement = session.prepare("select $1::int4 + 1").await?;
    for _ in 0..WORK {
        session.simple_query("begin; select 1; commit").await?;
        session.query_one(&statement, &[&1]).await?;
        // A person who thinks, so that visits last through what happens meanwhile.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    session.close().await;
    Ok(())
}
