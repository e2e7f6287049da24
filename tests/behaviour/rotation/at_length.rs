//! `make chaos`: two hundred rotations under load, and what they cost in
//! latency. Prints its figures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use pgvalet::secret::{Rotatable, SecretId};
use pgvalet::vault::EmbeddedStore;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::rotate;
use crate::common::sampler::Sampler;
use crate::common::{Cluster, Proxy, connect, new_password};

const ROTATIONS: usize = 200;
/// Server connections of the pool in transaction mode, and in session mode.
const SIZES: (usize, usize) = (8, 14);
/// Old connections have to be gone by then, in milliseconds; in transaction mode
/// transactions are shorter than a hundred.
const GONE: (u64, u64) = (2_100, 5_000);

type Timed = (SystemTime, Duration);

struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<Vec<Timed>, tokio_postgres::Error>>>,
}

impl Load {
    /// `stay` of the clients keep their connection.
    fn start(dsn: &str, clients: usize, stay: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |n| tokio::spawn(work(dsn.to_owned(), n < stay, stop.clone()));
        Self {
            clients: (0..clients).map(client).collect(),
            stop,
        }
    }

    /// Transactions of those that stayed connected, and how many there were.
    async fn finish(self) -> Vec<Timed> {
        self.stop.store(true, Relaxed);
        let ended = join_all(self.clients).await;
        ended
            .into_iter()
            .flat_map(|client| client.expect("no panic").expect("no client saw an error"))
            .collect()
    }
}

async fn work(
    dsn: String,
    stays: bool,
    stop: Arc<AtomicBool>,
) -> Result<Vec<Timed>, tokio_postgres::Error> {
    let mut timed = Vec::new();
    while !stop.load(Relaxed) {
        let session = connect(&dsn).await?;
        let statement = session.prepare("select $1::int4 + 1").await?;
        let mut left = if stays { u32::MAX } else { 5 };
        while left > 0 && !stop.load(Relaxed) {
            let (at, began) = (SystemTime::now(), Instant::now());
            session.simple_query("begin; select 1; commit").await?;
            session.query_one(&statement, &[&1]).await?;
            if stays {
                timed.push((at, began.elapsed()));
            }
            left -= 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        session.close().await;
    }
    Ok(timed)
}

async fn world() -> (Cluster, Proxy) {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let proxy = Proxy::builder()
        .secret("app", &cluster.secret("app_user", &password))
        .database("tx", &format!("secret = \"app\"\npool_size = {}", SIZES.0))
        .database(
            "session",
            &format!(
                "secret = \"app\"\npool_size = {}\npool_mode = \"session\"\nsession_migration = \"safe\"",
                SIZES.1
            ),
        )
        .start()
        .await;
    (cluster, proxy)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn two_hundred_rotations_at_length() {
    let (cluster, proxy) = world().await;
    let sampler = Sampler::start(&cluster).await;
    let loads = [
        Load::start(&proxy.dsn("tx"), 24, 12),
        Load::start(&proxy.dsn("session"), 12, 8),
    ];
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    for n in 0..ROTATIONS {
        tick.tick().await;
        let (version, _) = rotate(&cluster, &proxy, n % 2 == 0).await;
        proxy.wait_in_force("app", &version).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    for load in loads {
        load.finish().await;
    }
    let most = sampler.most().await;
    assert!(
        most as usize <= SIZES.0 + SIZES.1,
        "{most} server connections"
    );
    let mut longest = BTreeMap::new();
    let ends = proxy.audit_of("drain.end");
    for end in &ends {
        let database = end["database"].as_str().expect("a name").to_owned();
        let took = end["duration_ms"].as_u64().expect("a duration");
        let longest = longest.entry(database).or_insert(0);
        *longest = took.max(*longest);
    }
    let starts = proxy.audit_of("drain.start").len();
    println!(
        "{ROTATIONS} rotations, 0 errors; at most {most} of {} connections; {} of {starts} generations drained, the longest in {longest:?} ms",
        SIZES.0 + SIZES.1,
        ends.len()
    );
    assert_eq!(ends.len(), starts);
    assert!(longest["tx"] <= GONE.0, "{longest:?}");
    assert!(longest["session"] <= GONE.1, "{longest:?}");
    proxy.assert_no_leak().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn the_latency_of_a_rotation_at_length() {
    let (cluster, proxy) = world().await;
    // Nothing but the rotation itself may take place around it: no new process,
    // no login of a superuser, nobody who asks for metrics.
    let path = |name: &str| proxy.directory().join(name);
    let (db, key) = (path("store.db"), path("store.key"));
    let store = EmbeddedStore::open(&db, &key).await.expect("the store");
    let admin = cluster.superuser().await;
    let load = Load::start(&proxy.dsn("tx"), 8, 8);
    for n in 0..20 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let password = new_password();
        let value = cluster.secret("app_user", &password);
        proxy.watch_for(&value);
        let alter = format!("alter role app_user password '{password}'");
        let id = SecretId::new("app");
        let stages = vec!["AWSCURRENT".to_owned()];
        let put = store.put(&id, Zeroizing::new(value), stages, None);
        // The label first, or the password.
        if n % 2 == 0 {
            put.await.expect("put");
            admin.batch_execute(&alter).await.expect("altered");
        } else {
            admin.batch_execute(&alter).await.expect("altered");
            put.await.expect("put");
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let timed = load.finish().await;
    let time = |r: &serde_json::Value| {
        let text = r["time"].as_str().expect("a time");
        let time: DateTime<Utc> = text.parse().expect("RFC 3339");
        SystemTime::from(time)
    };
    let adopted = proxy.audit_of("secret.adopt");
    // The first one is no rotation.
    let adopted: Vec<_> = adopted.iter().map(time).skip(2).collect();
    assert!(adopted.len() >= 40, "two pools, twenty times");
    let near = |at: SystemTime| {
        let apart = |a: &SystemTime| a.duration_since(at).or_else(|_| at.duration_since(*a));
        adopted
            .iter()
            .any(|a| apart(a).is_ok_and(|d| d <= Duration::from_millis(500)))
    };
    let (around, quiet): (Vec<_>, Vec<_>) = timed.into_iter().partition(|(at, _)| near(*at));
    let p99 = |timed: &[Timed]| {
        let mut all: Vec<_> = timed
            .iter()
            .map(|(_, took)| took.as_secs_f64() * 1000.0)
            .collect();
        all.sort_by(f64::total_cmp);
        all[all.len() * 99 / 100]
    };
    let (near, far) = (p99(&around), p99(&quiet));
    println!(
        "p99 of a transaction: {far:.2} ms in quiet seconds ({}), {near:.2} ms in the second around an adoption ({}): {:.2} times as long",
        quiet.len(),
        around.len(),
        near / far
    );
    assert!(near <= 2.0 * far);
}
