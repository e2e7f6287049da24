//! Postgres itself: killed, crashed, stopped.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stage::Stage;
use super::talk::{End, Talk};
use crate::common::eventually;
use crate::common::raw::{Message, query};

fn first_value(end: &End) -> String {
    let End::Answered(messages) = end else {
        panic!("an answer, not {end:?}")
    };
    let row = |m: &&Message| m.0 == b'D';
    let (_, row) = messages.iter().find(row).expect("a row");
    String::from_utf8_lossy(&row[6..]).into_owned()
}

fn send(pid: &str, signal: Signal) {
    let pid = Pid::from_raw(pid.parse().expect("a pid"));
    kill(pid, signal).expect("the process is there");
}

async fn waits(stage: &Stage) {
    eventually("it waits", Duration::from_secs(20), || async {
        let waiting = stage.proxy.metric("pgvalet_client_waiting", &[]).await;
        (waiting == Some(1.0)).then_some(())
    })
    .await;
}

/// Postgres ends all sessions when one backend crashes, and recovers.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_felt_by_statements_that_run() {
    let stage = Stage::with("").await;
    let (mut idle, mut busy, mut victim) = (
        stage.client().await,
        stage.client().await,
        stage.client().await,
    );
    idle.query("select 1").await;
    victim.query("begin").await;
    let pid = first_value(&victim.query("select pg_backend_pid()").await);
    busy.say(&query("select pg_sleep(60)")).await;
    eventually("it runs", Duration::from_secs(20), || async {
        let running = stage.backends().await;
        running.iter().any(|state| state == "active").then_some(())
    })
    .await;
    send(&pid, Signal::SIGKILL);
    for client in [&mut busy, &mut victim] {
        let end = client.hear(b'Z').await;
        assert!(
            matches!(&end, End::Fatal(code) if code == "08006"),
            "{end:?}"
        );
    }
    let answer = idle.query("select 1").await;
    assert!(answer.is_answer(), "{answer:?}");
    drop(idle);
    stage.nothing_is_left("a crash").await;
}

/// A backend that hangs: in the kernel, or under a debugger.
#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_hangs_holds_its_client_no_longer_than_query_timeout() {
    let stage = Stage::with("query_timeout = \"1s\"\npool_size = 1").await;
    let mut client = stage.client().await;
    client.query("begin").await;
    let pid = first_value(&client.query("select pg_backend_pid()").await);
    send(&pid, Signal::SIGSTOP);
    let end = client.query("select 1").await;
    let told = matches!(&end, End::Fatal(code) if code == "57014");
    // Its slot is its own as long as the backend is in the tables of Postgres.
    send(&pid, Signal::SIGCONT);
    assert!(told, "{end:?}");
    stage.serves("a backend that hung").await;
    stage.nothing_is_left("a backend that hung").await;
}

/// The kernel accepts connections for it, and nobody answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_postmaster_that_is_stopped_is_waited_for() {
    let stage = Stage::with("connect_timeout = \"1s\"").await;
    stage.back.strike(crate::common::relay::Fault::Reset).await;
    let postmaster = stage.cluster.pid().to_string();
    send(&postmaster, Signal::SIGSTOP);
    let mut client = Talk::begin(stage.front.port).await;
    client.say(&query("select 'served'")).await;
    let notice = client.hear(b'N').await;
    waits(&stage).await;
    send(&postmaster, Signal::SIGCONT);
    assert!(notice.is_answer(), "{notice:?}");
    let answer = client.hear(b'Z').await;
    assert_eq!(first_value(&answer), "served");
    drop(client);
    stage.nothing_is_left("a postmaster that was stopped").await;
}
