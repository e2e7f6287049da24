//! `fleet_size`: one ceiling for the server connections of all replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::task::JoinHandle;
use tokio_postgres::Error;

use super::{Keys, replicas};
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

/// How long shares may take to move.
const MOVE: Duration = Duration::from_secs(30);

/// The server connections of the replicas, as the server counts them; the sessions of shares
/// aside.
const COUNT: &str = "select count(*) from pg_stat_activity where usename <> current_user and \
                     backend_type = 'client backend' and application_name <> 'pgvalet fleet'";

/// Counts connections all the time.
pub struct Sampler {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicUsize>,
    task: JoinHandle<usize>,
}

impl Sampler {
    pub async fn start(cluster: &Cluster) -> Self {
        Self::of(cluster, COUNT).await
    }

    /// Counts by another query.
    pub async fn of(cluster: &Cluster, count: &'static str) -> Self {
        let server = cluster.superuser().await;
        let (stop, most) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stops, largest) = (stop.clone(), most.clone());
        let task = tokio::spawn(async move {
            let mut samples = 0;
            while !stops.load(Relaxed) {
                let count = server.value(count).await.parse().expect("a number");
                largest.fetch_max(count, Relaxed);
                samples += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            samples
        });
        Self { stop, most, task }
    }

    /// The most connections there were at once.
    pub async fn end(self) -> usize {
        self.stop.store(true, Relaxed);
        let samples = self.task.await.expect("no panic");
        assert!(samples > 100, "{samples} samples");
        self.most.load(Relaxed)
    }
}

/// Clients that keep a replica busy until this is dropped.
pub struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<usize, Error>>>,
}

impl Load {
    pub fn on(replica: &Proxy, clients: usize) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let tasks = (0..clients).map(|_| {
            let (dsn, stop) = (replica.dsn("app"), stop.clone());
            tokio::spawn(async move {
                let session = connect(&dsn).await?;
                let mut done = 0;
                while !stop.load(Relaxed) {
                    session.simple_query("select pg_sleep(0.05)").await?;
                    done += 1;
                }
                Ok(done)
            })
        });
        Self {
            tasks: tasks.collect(),
            stop,
        }
    }

    /// How many queries were answered; none may have failed.
    pub async fn end(self) -> usize {
        self.stop.store(true, Relaxed);
        let mut done = 0;
        for task in self.tasks {
            let result = task.await.expect("no panic");
            done += result.unwrap_or_else(|e| panic!("{e:?}"));
        }
        done
    }
}

/// What `/status` says of the share.
async fn share(replica: &Proxy) -> (usize, bool) {
    let status = replica.status().await;
    let fleet = &status["databases"][0]["fleet"];
    let share = fleet["share"].as_u64().unwrap_or_default();
    let share = usize::try_from(share).expect("small");
    (share, fleet["held"].as_bool().unwrap_or_default())
}

pub async fn share_becomes(what: &str, replica: &Proxy, good: impl Fn(usize) -> bool) {
    eventually(what, MOVE, || async {
        let (share, held) = share(replica).await;
        (held && good(share)).then_some(())
    })
    .await;
}

const SIZE: usize = 12;
const KEYS: &str = "pool_size = 20\nfleet_size = 12\nserver_idle_timeout = \"10m\"";

/// The load moves from one replica to another, all are busy, one dies, all of the server's
/// connections end: the ceiling holds all the time, and whoever is busy gets its part.
#[tokio::test(flavor = "multi_thread")]
async fn the_ceiling_holds_and_shares_follow_the_load() {
    let (cluster, keys) = (Cluster::start().await, Keys::new());
    let mut replicas = replicas(&cluster, &keys, 3, KEYS).await;
    let sampler = Sampler::start(&cluster).await;

    // One is busy: it has nearly all, and the others keep one each.
    let first = Load::on(&replicas[0], 20);
    share_becomes("the busy one has nearly all", &replicas[0], |s| {
        s >= SIZE - 2
    })
    .await;
    for idle in &replicas[1..] {
        share_becomes("an idle one keeps one", idle, |s| s == 1).await;
        assert_eq!(idle.connect("app").await.value("select 1").await, "1");
    }
    // The load moves.
    assert!(first.end().await > 0);
    let second = Load::on(&replicas[1], 20);
    share_becomes("the share has moved", &replicas[1], |s| s >= SIZE - 2).await;
    // All are busy: each has its part.
    let others = [Load::on(&replicas[0], 20), Load::on(&replicas[2], 20)];
    for replica in &replicas {
        share_becomes("a part each", replica, |s| s == SIZE / 3).await;
    }
    // One dies in the middle of its work, and the others get its part.
    replicas[1].signal(Signal::SIGKILL);
    replicas[1].wait_exit(Duration::from_secs(10)).await;
    drop(second); // whose queries failed
    for replica in [&replicas[0], &replicas[2]] {
        share_becomes("half each", replica, |s| s == SIZE / 2).await;
    }
    // Another one comes in its place.
    replicas[1].run();
    replicas[1].wait_ready().await;
    share_becomes("it gets one", &replicas[1], |s| s >= 1).await;
    assert_eq!(
        replicas[1].connect("app").await.value("select 1").await,
        "1"
    );
    for load in others {
        assert!(load.end().await > 0);
    }
    let most = sampler.end().await;
    assert!(most <= SIZE, "{most} connections at once");
    assert!(most >= SIZE - 2, "the ceiling was never reached: {most}");
}

/// Postgres works on for a replica that has died: nobody gets its part before that has ended.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_replica_has_left_counts() {
    let (cluster, keys) = (Cluster::start().await, Keys::new());
    let mut replicas = replicas(&cluster, &keys, 2, "pool_size = 4\nfleet_size = 4").await;
    let sampler = Sampler::start(&cluster).await;
    // Queries that do not notice that their client is gone.
    let mut busy = Vec::new();
    for _ in 0..3 {
        let dsn = replicas[0].dsn("app");
        busy.push(tokio::spawn(async move {
            let session = connect(&dsn).await?;
            session.simple_query("select pg_sleep(60)").await
        }));
    }
    let admin = cluster.superuser().await;
    let asleep = "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'";
    eventually("they run", MOVE, || async {
        (admin.value(asleep).await == "3").then_some(())
    })
    .await;
    replicas[0].signal(Signal::SIGKILL);
    replicas[0].wait_exit(Duration::from_secs(10)).await;
    let load = Load::on(&replicas[1], 6);
    let gone = "select count(*) from pg_locks l join pg_stat_activity a using (pid) \
                where locktype = 'advisory' and application_name = 'pgvalet fleet'";
    eventually("its locks are gone", MOVE, || async {
        let locks: usize = admin.value(gone).await.parse().expect("a number");
        (locks <= 4).then_some(())
    })
    .await;
    // It would have taken them by now.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(admin.value(asleep).await, "3", "they run still");
    assert_eq!(share(&replicas[1]).await, (1, true));
    admin
        .batch_execute("select pg_terminate_backend(pid) from pg_stat_activity where query = 'select pg_sleep(60)' and pid <> pg_backend_pid()")
        .await
        .expect("ended");
    share_becomes("now it has all", &replicas[1], |s| s == 4).await;
    assert!(load.end().await > 0);
    let most = sampler.end().await;
    assert!(most <= 4, "{most} connections at once");
    for query in busy {
        assert!(query.await.expect("no panic").is_err());
    }
}

/// The sessions that keep the shares end, the password changes, a replica stops: clients notice
/// nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_share_outlives_its_session() {
    let (cluster, keys) = (Cluster::start().await, Keys::new());
    let (role, replicas) = super::replicas_of(&cluster, &keys, 2, KEYS).await;
    let sampler = Sampler::start(&cluster).await;
    let loads = [Load::on(&replicas[0], 8), Load::on(&replicas[1], 8)];
    for replica in &replicas {
        share_becomes("half each", replica, |s| s == SIZE / 2).await;
    }
    let admin = cluster.superuser().await;
    let sessions = "select string_agg(pid::text, ' ' order by pid) from pg_stat_activity where application_name = 'pgvalet fleet'";
    for _ in 0..3 {
        let before = admin.value(sessions).await;
        admin
            .batch_execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgvalet fleet'")
            .await
            .expect("ended");
        for replica in &replicas {
            share_becomes("half each again", replica, |s| s == SIZE / 2).await;
        }
        eventually("there are others", MOVE, || async {
            let now = admin.value(sessions).await;
            (now != before && now.split(' ').count() == 2).then_some(())
        })
        .await;
    }
    // Another password: all log in anew, the sessions of shares as well.
    let before = admin.value(sessions).await;
    let password = new_password();
    cluster.alter_password(&role, &password).await;
    for replica in &replicas {
        let value = cluster.secret(&role, &password);
        let version = replica.secret_put("app", &value).await;
        replica.wait_in_force("app", &version).await;
    }
    let of_before: Vec<String> = before.split(' ').map(str::to_owned).collect();
    eventually("they have moved", MOVE, || async {
        let now = admin.value(sessions).await;
        let all_new = now
            .split(' ')
            .all(|pid| !of_before.iter().any(|b| b == pid));
        (all_new && now.split(' ').count() == 2).then_some(())
    })
    .await;
    for load in loads {
        assert!(load.end().await > 0);
    }
    let most = sampler.end().await;
    assert!(most <= SIZE, "{most} connections at once");
    // Who stops gives back.
    replicas[0].signal(Signal::SIGTERM);
    eventually("its session is gone", MOVE, || async {
        (admin.value(sessions).await.split(' ').count() == 1).then_some(())
    })
    .await;
    let load = Load::on(&replicas[1], 20);
    share_becomes("the other one has all", &replicas[1], |s| s == SIZE).await;
    load.end().await;
}

/// The session of a share is not in the way of whoever drops the database.
#[tokio::test(flavor = "multi_thread")]
async fn the_session_of_a_share_leaves_a_database_that_is_dropped() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    cluster.execute("alter role app_user createdb").await;
    cluster.execute("create database work owner app_user").await;
    let proxy = Proxy::builder()
        .secret("app", &cluster.secret("app_user", &password))
        .database("admin", "secret = \"app\"")
        .database(
            "work",
            "secret = \"app\"\ndbname = \"work\"\nfleet_size = 4",
        )
        .start()
        .await;
    let work = proxy.connect("work").await;
    assert_eq!(work.value("select 1").await, "1");
    work.close().await;
    let server = cluster.superuser().await;
    let sessions = "select count(*) from pg_stat_activity where application_name = 'pgvalet fleet'";
    assert_eq!(server.value(sessions).await, "1");
    let admin = proxy.connect("admin").await;
    for sql in ["drop database work", "create database work"] {
        admin.simple_query(sql).await.expect(sql);
    }
    // It comes back.
    let work = proxy.connect("work").await;
    assert_eq!(work.value("select 1").await, "1");
}

/// Two secrets for one database: what a dead replica has left of either counts for both.
#[tokio::test(flavor = "multi_thread")]
async fn pools_of_several_secrets_share_the_ceiling() {
    let cluster = Cluster::start().await;
    let mut secrets = Vec::new();
    for role in ["one_user", "two_user"] {
        let password = new_password();
        cluster.create_role(role, &password).await;
        secrets.push(cluster.secret(role, &password));
    }
    let user = nix::unistd::geteuid();
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let replica = Proxy::builder()
            .secret("one", &secrets[0])
            .secret("two", &secrets[1])
            .database("app", "secret = \"one\"\nfleet_size = 6")
            .client("name = \"one\"\nnetwork = \"127.0.0.0/8\"\ndatabases = \"app\"")
            .client(&format!(
                "name = \"two\"\nunix_user = {user}\nsecret = \"two\"\ndatabases = \"app\""
            ))
            .start();
        replicas.push(replica.await);
    }
    let sampler = Sampler::start(&cluster).await;
    let mut busy = Vec::new();
    for _ in 0..3 {
        let dsn = replicas[0].unix_dsn("app");
        busy.push(tokio::spawn(async move {
            let session = connect(&dsn).await?;
            session.simple_query("select pg_sleep(60)").await
        }));
    }
    let admin = cluster.superuser().await;
    let asleep = "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'";
    eventually("they run", MOVE, || async {
        (admin.value(asleep).await == "3").then_some(())
    })
    .await;
    replicas[0].signal(Signal::SIGKILL);
    replicas[0].wait_exit(Duration::from_secs(10)).await;
    let load = Load::on(&replicas[1], 10);
    // Of six, three are left behind, and the other pool keeps one.
    eventually("what is left", MOVE, || async {
        let status = replicas[1].status().await;
        let databases = status["databases"].as_array().expect("a list").clone();
        let one = databases.into_iter().find(|d| d["secret"] == "one")?;
        (one["fleet"]["share"] == 2).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(admin.value(asleep).await, "3", "they run still");
    let most = sampler.end().await;
    assert!(most <= 6, "{most} connections at once");
    assert!(load.end().await > 0);
    for query in busy {
        query.abort();
    }
}
