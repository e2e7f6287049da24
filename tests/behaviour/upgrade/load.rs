//! Upgrades under the load of programs that people use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, NoTls};

use super::scene::Scene;
use crate::common::ledger::{self, Habit, Ledger};
use crate::common::{cli, connect, programs};

/// A client that listens, and everything that it hears.
pub(super) async fn listener(
    dsn: &str,
) -> (tokio_postgres::Client, mpsc::UnboundedReceiver<String>) {
    let config: tokio_postgres::Config = dsn.parse().expect("a DSN");
    let (client, mut connection) = config.connect(NoTls).await.expect("connected");
    let (heard, hears) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |cx| connection.poll_message(cx));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notification(n) = message {
                let _ = heard.send(n.payload().to_owned());
            }
        }
    });
    client
        .batch_execute("listen news")
        .await
        .expect("it listens");
    (client, hears)
}

async fn upgrades_under_load(rounds: usize) {
    let mut scene = Scene::start("", "pool_size = 12").await;
    programs::create(&scene.cluster).await;
    ledger::create(&scene.cluster).await;
    for round in 0..rounds {
        let before = scene.successors.last().copied();
        let dsn = scene.proxy.dsn("app");
        let habits = [
            Habit::Stays,
            Habit::Stays,
            Habit::ComesAndGoes,
            Habit::ComesAndGoes,
        ];
        let first = i32::try_from(100 * round).expect("few");
        let load = Ledger::start(&dsn, "app", first, &habits);
        let (ears, mut hears) = listener(&dsn).await;
        let long = connect(&dsn).await.expect("connected");
        long.batch_execute("begin; select 1").await.expect("begun");
        let stop = Arc::new(AtomicBool::new(false));
        let speaks = {
            let (dsn, stop) = (dsn.clone(), stop.clone());
            tokio::spawn(async move {
                let mut said = 0;
                while !stop.load(Relaxed) {
                    // From whichever process lets it in.
                    let speaker = connect(&dsn).await.expect("nobody is refused");
                    let sql = format!("notify news, '{said}'");
                    speaker.batch_execute(&sql).await.expect("said");
                    said += 1;
                    speaker.close().await;
                }
                said
            })
        };
        let length = Duration::from_secs(6);
        let first_run = i32::try_from(10 * round).expect("few");
        let programs = programs::run(&scene.cluster, &scene.proxy, "app", length, first_run);
        let upgrade = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let output = scene.try_upgrade(&[]).await;
            if round % 2 == 1 {
                scene.proxy.rotate(&scene.cluster, "app_user").await;
            }
            output
        };
        let (ran, output) = tokio::join!(programs, upgrade);
        ran.unwrap_or_else(|e| panic!("{e}\n{}", scene.proxy.log()));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{said}{output:?}\n{}",
            scene.proxy.log()
        );
        let new: u32 = said
            .trim()
            .rsplit("pid ")
            .next()
            .and_then(|p| p.parse().ok())
            .expect("a pid");
        stop.store(true, Relaxed);
        let said: usize = speaks.await.expect("no client failed");
        for expected in 0..said {
            let heard = tokio::time::timeout(Duration::from_secs(10), hears.recv()).await;
            assert_eq!(heard.expect("none is lost"), Some(expected.to_string()));
        }
        let total = load.close(&scene.cluster).await;
        total.unwrap_or_else(|e| panic!("{e}\n{}", scene.proxy.log()));
        long.batch_execute("commit")
            .await
            .expect("the transaction goes on");
        drop((ears, long));
        match before {
            None => scene.old_ends().await,
            Some(pid) => super::scene::ends(pid).await,
        }
        scene.successors.push(new);
    }
    scene.audit_holds();
    let said = cli::pgvalet_ok(&scene.proxy.config(), &["status"], "");
    assert!(said.contains("app"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_notices_three_upgrades() {
    upgrades_under_load(3).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn no_client_notices_twenty_upgrades_at_length() {
    upgrades_under_load(20).await;
}
