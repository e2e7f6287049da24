//! Upgrades in a row, of two builds, under the load of every kind of client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;

use super::load::listener;
use super::scene::{Scene, ends};
use crate::common::cancel::{SLEEP, sleeping};
use crate::common::client::told;
use crate::common::ledger::{self, Habit, Ledger};
use crate::common::sampler::Sampler;
use crate::common::tls::{self, Secure};
use crate::common::{Session, connect, eventually, programs};

/// How many clients of each kind there are.
#[derive(Clone, Copy)]
struct Crowd {
    /// Of pgbench, with simple queries and with prepared statements.
    pgbench: usize,
    session_mode: usize,
    listeners: usize,
    long: usize,
    tls: usize,
}

const SESSION_POOL: usize = 10;
const POOL: usize = 12;

/// Those that are between transactions move; the others stay in the old process until it has no
/// more of them, and leave it in the end of a round.
struct Round {
    ledger: Ledger,
    listening: Vec<(
        tokio_postgres::Client,
        tokio::sync::mpsc::UnboundedReceiver<String>,
    )>,
    long: Vec<Session>,
    stop: Arc<AtomicBool>,
    speaks: JoinHandle<usize>,
    secure: Vec<JoinHandle<usize>>,
}

impl Round {
    async fn begin(scene: &Scene, crowd: Crowd, round: usize) -> Self {
        let number = |of: usize| i32::try_from(of).expect("few");
        let (dsn, of_sessions) = (scene.proxy.dsn("app"), scene.proxy.dsn("sessions"));
        let habits = vec![Habit::Stays; crowd.session_mode];
        let first = number(100 * round);
        let ledger = Ledger::start(&of_sessions, "sessions", first, &habits);
        let listening = join_all((0..crowd.listeners).map(|_| listener(&dsn))).await;
        let mut long = Vec::new();
        for n in 0..crowd.long {
            let session = connect(&dsn).await.expect("connected");
            let sql = format!("begin; insert into long values ({round}, {n})");
            session.batch_execute(&sql).await.expect("begun");
            long.push(session);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let speaks = tokio::spawn(speak(dsn, stop.clone()));
        let config = tls::config(None);
        let mut secure = Vec::new();
        for _ in 0..crowd.tls {
            let session = Secure::connect(&scene.proxy, &config, "app").await;
            let session = session.expect("connected");
            secure.push(tokio::spawn(work(session, stop.clone())));
        }
        Self {
            ledger,
            listening,
            long,
            stop,
            speaks,
            secure,
        }
    }

    /// Ends the load, and looks whether everybody got what is due.
    async fn end(self, scene: &Scene) -> Result<(), String> {
        self.stop.store(true, Relaxed);
        let said = self.speaks.await.map_err(|e| format!("a speaker: {e}"))?;
        for (n, (_client, mut hears)) in self.listening.into_iter().enumerate() {
            for expected in 0..said {
                let heard = tokio::time::timeout(Duration::from_secs(20), hears.recv()).await;
                let heard = heard.map_err(|_| format!("listener {n} misses {expected}"))?;
                if heard != Some(expected.to_string()) {
                    return Err(format!("listener {n}: {heard:?} instead of {expected}"));
                }
            }
        }
        for session in self.long {
            let ended = session.batch_execute("commit").await;
            ended.map_err(|e| format!("a long transaction: {e:?}"))?;
        }
        for secure in self.secure {
            let done = secure.await.map_err(|e| format!("a TLS client: {e}"))?;
            if done == 0 {
                return Err("a TLS client has done nothing".to_owned());
            }
        }
        self.ledger.close(&scene.cluster).await.map(drop)
    }
}

/// Notifies from a new connection each time: from whichever process lets it in.
async fn speak(dsn: String, stop: Arc<AtomicBool>) -> usize {
    let mut said = 0;
    while !stop.load(Relaxed) {
        let speaker = connect(&dsn).await.expect("nobody is refused");
        let sql = format!("notify news, '{said}'");
        speaker.batch_execute(&sql).await.expect("said");
        speaker.close().await;
        said += 1;
    }
    said
}

async fn work(mut session: Secure, stop: Arc<AtomicBool>) -> usize {
    let mut done = 0;
    while !stop.load(Relaxed) {
        let answer = session.ask("select 1").await.expect("served");
        assert_eq!(answer.last().map(|(tag, _)| *tag), Some(b'Z'));
        done += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    done
}

/// A client that is there all the time: its connection, its prepared statement and its cancel
/// key are the same after each upgrade.
struct Stayer {
    session: Session,
    statement: tokio_postgres::Statement,
}

impl Stayer {
    async fn come(scene: &Scene) -> Self {
        let session = scene.proxy.connect("app").await;
        let types = [tokio_postgres::types::Type::INT4];
        let statement = session.prepare_typed("select $1 + 1", &types).await;
        let statement = statement.expect("prepared");
        Self { session, statement }
    }

    async fn is_there(&self) {
        let row = self.session.query_one(&self.statement, &[&1]).await;
        assert_eq!(row.expect("it goes on").get::<_, i32>(0), 2);
    }

    async fn can_cancel(self, scene: &Scene) {
        let token = self.session.cancel_token();
        let query = tokio::spawn(async move { self.session.batch_execute(SLEEP).await });
        sleeping(&scene.cluster, 1).await;
        token.cancel_query(NoTls).await.expect("sent");
        let error = query.await.expect("no panic").expect_err("cancelled");
        assert_eq!(told(&error).0, "57014");
    }
}

/// Waits until both programs have written lines.
async fn are_at_work(scene: &Scene, first_run: i32) {
    let admin = scene.cluster.superuser().await;
    let last = first_run + 1;
    let sql = format!("select count(distinct run) from runs where run in ({first_run}, {last})");
    eventually("pgbench is at work", Duration::from_secs(60), || async {
        (admin.value(&sql).await == "2").then_some(())
    })
    .await;
}

async fn upgrades(rounds: usize, crowd: Crowd) {
    let sessions = format!("pool_mode = \"session\"\npool_size = {SESSION_POOL}");
    let app = format!("pool_size = {POOL}");
    let more = [("sessions", &*sessions)];
    let mut scene = Scene::with_more("", &app, &more).await;
    programs::create(&scene.cluster).await;
    ledger::create(&scene.cluster).await;
    let table = "create table long (round int, client int); grant select, insert on long to public";
    scene.cluster.execute(table).await;
    let stayers = join_all((0..4).map(|_| Stayer::come(&scene))).await;
    let sampler = Sampler::start(&scene.cluster).await;
    for round in 0..rounds {
        let before = scene.successors.last().copied();
        let load = Round::begin(&scene, crowd, round).await;
        let first_run = i32::try_from(10 * round).expect("few");
        // Connecting counts as well, and takes its time where all clients come at once.
        let length = Duration::from_secs(4 + crowd.pgbench as u64 / 2);
        let (cluster, proxy) = (&scene.cluster, &scene.proxy);
        let pgbench = programs::crowd(cluster, proxy, "app", crowd.pgbench, length, first_run);
        scene.install_build(round);
        let upgrade = async {
            are_at_work(&scene, first_run).await;
            let rotates = async {
                if round % 2 == 1 {
                    proxy.rotate(cluster, "app_user").await;
                }
            };
            tokio::join!(scene.try_upgrade(&[]), rotates).0
        };
        let (ran, output) = tokio::join!(pgbench, upgrade);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = || scene.proxy.log();
        assert!(
            output.status.success(),
            "round {round}: {output:?}\n{}",
            log()
        );
        ran.unwrap_or_else(|e| panic!("round {round}: {e}\n{}", log()));
        let ended = load.end(&scene).await;
        ended.unwrap_or_else(|e| panic!("round {round}: {e}\n{}", log()));
        join_all(stayers.iter().map(Stayer::is_there)).await;
        match before {
            None => scene.old_ends().await,
            Some(pid) => ends(pid).await,
        }
        let pid = said
            .trim()
            .rsplit("pid ")
            .next()
            .and_then(|p| p.parse().ok());
        scene.successors.push(pid.expect("a pid"));
    }
    sampler.look().await;
    let most = sampler.most().await;
    let ceiling = (POOL + SESSION_POOL) as u64;
    assert!(most <= ceiling, "{most} of {ceiling} server connections");
    let admin = scene.cluster.superuser().await;
    let long = admin.value("select count(*) from long").await;
    assert_eq!(long, (rounds * crowd.long).to_string());
    for stayer in stayers {
        stayer.can_cancel(&scene).await;
    }
    scene.audit_holds();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_client_outlives_two_upgrades() {
    let crowd = Crowd {
        pgbench: 8,
        session_mode: 3,
        listeners: 3,
        long: 3,
        tls: 2,
    };
    upgrades(2, crowd).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn every_kind_of_client_outlives_twenty_upgrades_at_length() {
    let crowd = Crowd {
        pgbench: 32,
        session_mode: 8,
        listeners: 8,
        long: 8,
        tls: 4,
    };
    let rounds = std::env::var("UPGRADES").ok().and_then(|n| n.parse().ok());
    upgrades(rounds.unwrap_or(20), crowd).await;
}
