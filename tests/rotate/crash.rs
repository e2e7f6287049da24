//! The rotator is killed, everywhere, under load: a rotation after it completes
//! what it left, and no client sees any of it.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use tokio::task::JoinHandle;

use super::common::moto::Moto;
use super::common::{Cluster, cli, connect, tethered};
use super::gate::{Gate, Side};
use super::scene::Scene;

const CLIENTS: usize = 4;

/// Clients that work, come and go until they are told to stop; whatever goes
/// wrong ends them.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<(), tokio_postgres::Error>>>,
}

impl Load {
    pub fn start(dsn: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let clients = (0..CLIENTS)
            .map(|_| {
                let (stop, done, dsn) = (stop.clone(), done.clone(), dsn.to_owned());
                tokio::spawn(async move {
                    while !stop.load(Relaxed) {
                        let session = connect(&dsn).await?;
                        for _ in 0..20 {
                            session.simple_query("begin; select 1; commit").await?;
                            done.fetch_add(1, Relaxed);
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                        session.close().await;
                    }
                    Ok(())
                })
            })
            .collect();
        Self {
            stop,
            done,
            clients,
        }
    }

    pub async fn finish(self) {
        self.stop.store(true, Relaxed);
        for client in self.clients {
            let result = client.await.expect("no client panicked");
            result.unwrap_or_else(|e| panic!("a client saw an error: {e:?}"));
        }
        let done = self.done.load(Relaxed);
        assert!(done > 100, "only {done} transactions prove nothing");
    }
}

/// The scene with a running proxy, and a second configuration whose way to
/// Postgres leads through a gate.
struct Crashes {
    scene: Scene,
    gate: Gate,
    /// Arguments of `pgvalet` for the rotator through the gate.
    args: Vec<String>,
    load: Option<Load>,
}

impl Crashes {
    async fn new(scene: Scene, gate: Gate, config: String, more: &[&str]) -> Self {
        let mut scene = scene;
        scene.proxy.run();
        scene.proxy.wait_ready().await;
        let path = scene.proxy.directory().join("gated.toml");
        std::fs::write(&path, config).expect("written");
        let path = path.display().to_string();
        let mut args = vec![
            "--config".to_owned(),
            path,
            "rotate".to_owned(),
            "app".to_owned(),
        ];
        args.extend(more.iter().map(ToString::to_string));
        Self {
            load: Some(Load::start(&scene.proxy.dsn("app"))),
            scene,
            gate,
            args,
        }
    }

    /// Between the rotator and Postgres.
    async fn at_postgres(scene: Scene, more: &[&str]) -> Self {
        let gate = Gate::new(&format!("127.0.0.1:{}", scene.cluster.port)).await;
        let config = std::fs::read_to_string(scene.proxy.config()).expect("the file");
        let through = format!("secret = \"app\"\nport = {}", gate.port);
        let config = config.replace("secret = \"app\"", &through);
        Self::new(scene, gate, config, more).await
    }

    fn spawn(&self) -> Child {
        tethered(cli::PGVALET, "KILL", None)
            .args(&self.args)
            .envs(cli::AWS)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("pgvalet starts")
    }

    /// Kills the rotator at its n-th request; false if it has fewer.
    async fn kill_at(&self, n: usize, side: Side) -> bool {
        self.gate.arm(n, side);
        let mut child = self.spawn();
        let killed = tokio::select! {
            () = self.gate.reached() => {
                child.kill().expect("it runs");
                true
            }
            () = ended(&mut child) => false,
        };
        child.wait().expect("it ended");
        self.gate.open();
        killed
    }

    /// Kills it after a while; false if it was faster.
    async fn kill_after(&self, delay: Duration) -> bool {
        let mut child = self.spawn();
        tokio::time::sleep(delay).await;
        let over = child.try_wait().expect("a child").is_some();
        child.kill().expect("killed, or over");
        child.wait().expect("it ended");
        self.gate.open();
        !over
    }

    /// A rotation that nobody kills.
    async fn complete(&self) {
        let mut child = self.spawn();
        ended(&mut child).await;
        let output = child.wait_with_output().expect("it ended");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        self.scene.assert_whole().await;
    }

    async fn finish(mut self) {
        self.load.take().expect("once").finish().await;
        let pools = self
            .scene
            .proxy
            .metric("pgvalet_adoptions_total", &["outcome=\"ok\""]);
        assert!(pools.await > Some(0.0));
        self.scene.proxy.assert_no_leak().await;
    }
}

async fn ended(child: &mut Child) {
    while child.try_wait().expect("a child").is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn scene(cluster: Cluster) -> Scene {
    Scene::with(
        cluster,
        "app_user",
        "pool_size = 4\nserver_lifetime = \"1s\"",
    )
    .await
}

/// Kills the rotator at every request of a rotation to Postgres in turn, until
/// there are no more; the number of kills.
async fn everywhere(crashes: &Crashes, side: Side) -> usize {
    for n in 1.. {
        if !crashes.kill_at(n, side).await {
            crashes.scene.assert_whole().await;
            return n - 1;
        }
        crashes.complete().await;
    }
    unreachable!("a rotation has an end")
}

/// Kills the rotator at random moments, some times in a row, and then lets a
/// rotation complete.
async fn at_random(crashes: &Crashes, kills: usize, in_a_row: usize) {
    let began = Instant::now();
    crashes.complete().await;
    let whole = began.elapsed();
    let mut killed = 0;
    while killed < kills {
        let mut byte = [0; 2];
        rand::fill(&mut byte).expect("random bytes");
        let share = f64::from(u16::from_be_bytes(byte)) / 65536.0;
        if crashes.kill_after(whole.mul_f64(share)).await {
            killed += 1;
            if killed % in_a_row == 0 {
                crashes.complete().await;
            }
        }
    }
    crashes.complete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_every_statement() {
    let crashes = Crashes::at_postgres(scene(Cluster::start().await).await, &[]).await;
    let kills = everywhere(&crashes, Side::After).await;
    assert!(kills >= 15, "only {kills} requests");
    crashes.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_every_statement() {
    let crashes = Crashes::at_postgres(scene(Cluster::start().await).await, &[]).await;
    let kills = everywhere(&crashes, Side::Before).await;
    assert!(kills >= 15, "only {kills} requests");
    crashes.finish().await;
}

const ALTERNATE: [&str; 4] = ["--strategy", "alternating", "--admin-secret", "admin"];

async fn two_users(side: Side) {
    let scene = scene(Cluster::start().await).await;
    scene.admin().await;
    let crashes = Crashes::at_postgres(scene, &ALTERNATE).await;
    let kills = everywhere(&crashes, side).await;
    assert!(kills >= 20, "only {kills} requests");
    crashes.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_killed_before_every_statement() {
    two_users(Side::Before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_killed_after_every_statement() {
    two_users(Side::After).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_a_hundred_random_moments() {
    let crashes = Crashes::at_postgres(scene(Cluster::start().await).await, &[]).await;
    at_random(&crashes, 100, 10).await;
    crashes.finish().await;
}

/// Between the rotator and the store, which is a Secrets Manager of somebody
/// else's making.
async fn at_store(cluster: Cluster, moto: &Moto) -> Crashes {
    let address = moto.url.strip_prefix("http://").expect("plain HTTP");
    let gate = Gate::new(address.trim_end_matches('/')).await;
    let scene = Scene::in_moto(cluster, moto, "pool_size = 4\nserver_lifetime = \"1s\"").await;
    let config = std::fs::read_to_string(scene.proxy.config()).expect("the file");
    let through = config.replace(&moto.url, &format!("http://127.0.0.1:{}", gate.port));
    Crashes::new(scene, gate, through, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_every_request_to_another_store() {
    let moto = Moto::start();
    let crashes = at_store(Cluster::start().await, &moto).await;
    let kills = everywhere(&crashes, Side::After).await;
    assert!(kills >= 8, "only {kills} requests");
    crashes.finish().await;
}

/// The long form (`make chaos-rotate`): both sides of every request, both
/// strategies, each version of Postgres, each kill followed by a rotation.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: make chaos-rotate"]
async fn killed_everywhere_at_length() {
    for binaries in super::common::binaries::all() {
        for strategy in ["single", "alternating"] {
            let scene = scene(Cluster::start_with(&binaries).await).await;
            scene.admin().await;
            let more = ["--strategy", strategy, "--admin-secret", "admin"];
            let crashes = Crashes::at_postgres(scene, &more).await;
            let before = everywhere(&crashes, Side::Before).await;
            let after = everywhere(&crashes, Side::After).await;
            at_random(&crashes, 200, 1).await;
            crashes.finish().await;
            println!(
                "Postgres {}, {strategy}: killed before {before} requests, after {after}, and 200 times at random",
                binaries.major
            );
        }
    }
}
