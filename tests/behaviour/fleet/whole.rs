//! All of it at once: three replicas behind HAProxy rotate the secret that they share in a
//! store on PostgreSQL, while replicas stop, are killed and come back, and the store fails over.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use nix::sys::signal::Signal;
use pgvalet::secret::{AWSCURRENT, AWSPENDING, VersionId};
use pgvalet::vault::{Location, Value, Vault};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::cancel::sleeper;
use super::size::Sampler;
use super::visitors::{Lost, Visitors};
use super::{Keys, member};
use crate::common::cancel::send_cancel;
use crate::common::haproxy::HaProxy;
use crate::common::raw::sqlstate;
use crate::common::store_server::Server;
use crate::common::{Cluster, Proxy, connect, eventually, free_port, new_password};

const REPLICAS: usize = 3;
const ROLE: &str = "app_user";
/// `fleet_size` of each database, and clients of each.
const SIZE: usize = 9;
const CLIENTS: usize = 5;
const V3_0: u32 = 0x0003_0000;
const V3_2: u32 = 0x0003_0002;
/// A rotation is due every two seconds; one that failed begins again some seconds later.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most connections of a database: sessions of shares and of rotators aside.
const COUNT: &str = "select coalesce(max(n), 0) from (select count(*) as n from pg_stat_activity \
    where usename = 'app_user' and backend_type = 'client backend' \
    and application_name not in ('pgvalet fleet', 'pgvalet rotation') group by datname) as c";

/// The databases, their servers, and three replicas.
struct World {
    cluster: Cluster,
    /// The server of the store, and the one that takes over.
    store: Server,
    standby: Cluster,
    location: Location,
    key: PathBuf,
    replicas: Vec<Proxy>,
    _keys: Keys,
    _shared: TempDir,
}

/// A replica that was killed, and when it was gone.
struct Kill {
    replica: String,
    at: Instant,
}

impl World {
    async fn start() -> Self {
        let cluster = Cluster::start().await;
        cluster.execute("create database work").await;
        let mut primary = Cluster::start().await;
        let standby = primary.standby().await;
        let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port, standby.port);
        let store = Server::of(primary).await;
        let admin = store.cluster.superuser().await;
        for sql in [
            "alter system set synchronous_standby_names = '*'",
            "select pg_reload_conf()",
        ] {
            admin.batch_execute(sql).await.expect(sql);
        }
        let url = store.url_at(&hosts, "shared");
        let (keys, shared) = (Keys::new(), TempDir::new().expect("a directory"));
        let key = shared.path().join("store.key");
        let password = new_password();
        cluster.create_role(ROLE, &password).await;
        let value = cluster.secret(ROLE, &password);
        let mut replicas = replicas(&url, &key, &keys, &value);
        for replica in &mut replicas {
            replica.run();
            replica.wait_ready().await;
        }
        Self {
            cluster,
            store,
            standby,
            location: Location::parse(&url, |path| path.into()).expect("a URL"),
            key,
            replicas,
            _keys: keys,
            _shared: shared,
        }
    }

    async fn vault(&self) -> Vault {
        let opened = Vault::open(self.location.clone(), &self.key).await;
        opened.unwrap_or_else(|e| panic!("{e}"))
    }

    /// When each version was made and became the current one, as the replicas say.
    fn rotations(&self) -> BTreeMap<String, Span> {
        let mut rotations = BTreeMap::<_, (Option<_>, Option<_>)>::new();
        for record in self
            .replicas
            .iter()
            .flat_map(|r| r.audit_of("rotation.step"))
        {
            if record["outcome"] != "success" {
                continue;
            }
            let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
            let at: DateTime<Utc> = text(&record["time"]).parse().expect("RFC 3339");
            let step = text(&record["step"]);
            if !["createSecret", "finishSecret"].contains(&&*step) {
                continue;
            }
            let version = text(&record["credential"]["version"]);
            let (made, finished) = rotations.entry(version.clone()).or_default();
            match &*step {
                "createSecret" => *made = made.or(Some(at)),
                _ => assert!(
                    finished.replace(at).is_none(),
                    "{version} was finished twice"
                ),
            }
        }
        rotations
    }

    fn finished(&self) -> usize {
        let all = self.rotations();
        all.values()
            .filter(|(_, finished)| finished.is_some())
            .count()
    }

    /// Waits for so many rotations more.
    async fn rotated(&self, more: usize) {
        let wanted = self.finished() + more;
        eventually("rotations", PATIENCE * 2, || async {
            (self.finished() >= wanted).then_some(())
        })
        .await;
    }

    /// A cancel lands, whichever replica it reaches, and whichever version of the protocol the
    /// client speaks.
    async fn cancels_land(&self) {
        for at in 0..REPLICAS {
            for (n, version) in [V3_0, V3_2].into_iter().enumerate() {
                let reached = &self.replicas[(at + n + 1) % REPLICAS];
                let (mut raw, pid, key) = sleeper(&self.cluster, &self.replicas[at], version).await;
                send_cancel(reached, pid, &key).await;
                let end = raw.until(b'Z').await;
                assert_eq!(sqlstate(&end).as_deref(), Some("57014"), "{at}, {n}");
            }
        }
    }

    /// As an administrator restarts a replica.
    async fn restart(&mut self, at: usize) {
        let replica = &mut self.replicas[at];
        replica.signal(Signal::SIGTERM);
        let status = replica.wait_exit(Duration::from_secs(60)).await;
        assert!(status.success(), "{status}\n{}", replica.log());
        replica.run();
        replica.wait_ready().await;
    }

    async fn kill(&mut self, at: usize) -> Kill {
        let replica = &mut self.replicas[at];
        replica.signal(Signal::SIGKILL);
        replica.wait_exit(Duration::from_secs(10)).await;
        let at_moment = Instant::now();
        replica.run();
        replica.wait_ready().await;
        Kill {
            replica: name(at),
            at: at_moment,
        }
    }

    /// The server of the store dies, and the other one takes over.
    async fn fail_over(&mut self) {
        self.store.cluster.stop();
        self.standby.execute("select pg_promote(true)").await;
    }

    /// After all replicas have stopped: what they were told is written is there, and logs in.
    async fn assert_nothing_lost(&mut self, acknowledged: &[usize]) {
        for replica in &self.replicas {
            replica.signal(Signal::SIGTERM);
        }
        for replica in &mut self.replicas {
            replica.wait_exit(Duration::from_secs(60)).await;
        }
        let vault = self.vault().await;
        for n in acknowledged {
            let got = vault
                .get("acknowledged".into(), Some(version(*n)), None)
                .await;
            got.unwrap_or_else(|e| panic!("version {n}: {e}"));
        }
        let mut before: Option<DateTime<Utc>> = None;
        let mut all: Vec<_> = self.rotations().into_iter().collect();
        all.sort_by_key(|(_, (made, finished))| made.or(*finished));
        for (version, (made, finished)) in all {
            if let Some((made, before)) = made.zip(before) {
                assert!(
                    made >= before,
                    "{version} was made while another one was rotated"
                );
            }
            before = finished.or(before);
            let id = VersionId::new(&*version);
            let got = vault.get("app".into(), Some(id), None).await;
            got.unwrap_or_else(|e| panic!("version {version}: {e}"));
        }
        // One that the end of the replicas has interrupted is completed by the next one.
        let port = self.cluster.port;
        let mut logged_in = false;
        for label in [AWSCURRENT, AWSPENDING] {
            let got = vault.get("app".into(), None, Some(label.into())).await;
            let Ok(Value::Text(text)) = got.map(|got| got.value) else {
                continue;
            };
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let password = value["password"].as_str().expect("a password");
            let dsn =
                format!("host=127.0.0.1 port={port} user={ROLE} password={password} dbname=work");
            logged_in |= connect(&dsn).await.is_ok();
        }
        assert!(logged_in, "a version with a label logs in");
    }
}

fn name(replica: usize) -> String {
    format!("replica-{replica}")
}

/// When a rotation began and ended.
type Span = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// Three replicas with the same store, which none runs yet.
fn replicas(url: &str, key: &std::path::Path, keys: &Keys, value: &str) -> Vec<Proxy> {
    let ports: Vec<u16> = (0..REPLICAS).map(|_| free_port()).collect();
    let database = |more: &str| {
        format!(
            "secret = \"app\"\npool_size = {SIZE}\nfleet_size = {SIZE}\nclient_setting = true\n{more}"
        )
    };
    let mut replicas = Vec::new();
    for (n, port) in ports.iter().enumerate() {
        let mut builder = Proxy::builder()
            .store(&format!("path = {url:?}\nkey_file = {key:?}"))
            .listen("drain_delay = \"3s\"")
            .fleet(&member(&keys.of(1), *port, &ports))
            .database("app", &database("rotation = { every = \"2s\" }"))
            .database(
                "session",
                &database("dbname = \"work\"\npool_mode = \"session\""),
            )
            .client(&format!(
                "name = \"{}\"\nnetwork = \"127.0.0.0/8\"\ndatabases = [\"app\", \"session\"]",
                name(n)
            ));
        // The first one makes the store, its key and the secret.
        if n == 0 {
            builder = builder.secret("app", value);
        }
        let proxy = builder.prepare();
        proxy.watch_for(value);
        let text = fs::read_to_string(proxy.config()).expect("the configuration");
        let patient = text.replace("shutdown_timeout = \"1s\"", "shutdown_timeout = \"30s\"");
        fs::write(proxy.config(), patient).expect("written");
        replicas.push(proxy);
    }
    replicas
}

/// HAProxy asks `/readyz`. A connection that a killed replica does not accept any more goes to
/// another one.
async fn balancer(replicas: &[Proxy]) -> (HaProxy, u16) {
    let port = free_port();
    let servers = replicas.iter().enumerate().map(|(n, proxy)| {
        let (port, admin) = (proxy.port, proxy.admin_port);
        format!(" server p{n} 127.0.0.1:{port} check port {admin} inter 100ms fall 1 rise 1\n")
    });
    let sections = format!(
        "listen app\n bind 127.0.0.1:{port}\n balance roundrobin\n retries 3\n \
         option redispatch 1\n option httpchk GET /readyz\n http-check expect status 200\n \
         timeout check 5s\n{}",
        servers.collect::<String>()
    );
    (HaProxy::start(&sections, &[port]).await, port)
}

fn version(n: usize) -> VersionId {
    VersionId::new(format!("{n:032}"))
}

/// Puts version after version of a secret into the store; those that were acknowledged.
fn writer(vault: Vault, stop: Arc<AtomicBool>) -> JoinHandle<Vec<usize>> {
    tokio::spawn(async move {
        let text = |n: usize| Value::Text(Zeroizing::new(format!("v{n}")));
        let made = vault.create("acknowledged".into(), None, text(0), None);
        made.await.expect("made");
        let mut acknowledged = Vec::new();
        for n in 1.. {
            if stop.load(Relaxed) {
                break;
            }
            let put = vault.put("acknowledged".into(), text(n), vec![], Some(version(n)));
            match put.await {
                Ok(_) => acknowledged.push(n),
                Err(error) => assert_eq!(error.aws_type(), "InternalServiceError", "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        acknowledged
    })
}

/// Whether a client may have lost its connection: it was in a process that was killed.
fn was_killed(lost: &Lost, kills: &[Kill]) -> bool {
    kills.iter().any(|kill| {
        lost.began <= kill.at && lost.replica.as_ref().is_none_or(|r| *r == kill.replica)
    })
}

/// As many rounds as this: in each, a replica is restarted and another one is killed. In the
/// middle, the store fails over.
async fn everything(rounds: usize, rotations: usize) {
    let mut world = World::start().await;
    let (_haproxy, port) = balancer(&world.replicas).await;
    let dsns = ["app", "session"]
        .map(|database| format!("host=127.0.0.1 port={port} user=anyone dbname={database}"));
    let sampler = Sampler::of(&world.cluster, COUNT).await;
    let stop = Arc::<AtomicBool>::default();
    let acknowledged = writer(world.vault().await, stop.clone());
    let visitors = Visitors::start(&dsns, CLIENTS);
    let mut kills = Vec::new();
    world.rotated(1).await;
    world.cancels_land().await;
    for round in 0..rounds {
        world.restart(round % REPLICAS).await;
        world.rotated(1).await;
        if round == rounds / 2 {
            world.fail_over().await;
            world.rotated(1).await;
        }
        kills.push(world.kill((round + 1) % REPLICAS).await);
        world.rotated(1).await;
    }
    while world.finished() < rotations {
        world.rotated(1).await;
    }
    world.cancels_land().await;
    let visits = visitors.done();
    let lost = visitors.end().await;
    let wrong = lost.iter().filter(|l| !was_killed(l, &kills));
    let wrong: Vec<String> = wrong
        .map(|l| format!("at {:?}: {}", l.replica, l.why))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(visits > 10 * rounds, "{visits} visits");
    let most = sampler.end().await;
    assert!(most <= SIZE, "{most} connections of one database at once");
    stop.store(true, Relaxed);
    let acknowledged = acknowledged.await.expect("no panic");
    assert!(acknowledged.len() > 20, "{} writes", acknowledged.len());
    world.assert_nothing_lost(&acknowledged).await;
    println!(
        "{} rotations, {visits} visits, {} lost with a replica that was killed, {} writes; at most {most} of {SIZE} connections",
        world.finished(),
        lost.len(),
        acknowledged.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_rotate_while_they_restart_and_the_store_fails_over() {
    everything(1, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn three_replicas_rotate_while_they_restart_and_the_store_fails_over_at_length() {
    everything(6, 20).await;
}
