//! A cancel request lands whichever replica it reaches, and nobody else cancels anything.

use std::process::Command;

use nix::sys::signal::Signal;
use tokio_postgres::NoTls;

use super::{Keys, balance, fleet_port, member, replicas};
use crate::common::cancel::{SLEEP, send_cancel, sleeping};
use crate::common::client::told;
use crate::common::raw::{Raw, query, sqlstate, start_up};
use crate::common::{Cluster, Proxy, connect, free_port, new_password, venv};

const V3_0: u32 = 0x0003_0000;
const V3_2: u32 = 0x0003_0002;

/// A client whose query sleeps; its pid and its key.
pub async fn sleeper(cluster: &Cluster, proxy: &Proxy, version: u32) -> (Raw, i32, Vec<u8>) {
    let mut raw = Raw::open(proxy).await;
    let who = [("user", "anyone"), ("database", "app")];
    raw.send(&start_up(version, &who)).await;
    let greeting = raw.until(b'Z').await;
    let key = greeting.iter().find(|(tag, _)| *tag == b'K');
    let (pid, key) = key.expect("a key").1.split_at(4);
    let pid = i32::from_be_bytes(pid.try_into().expect("four bytes"));
    let key = key.to_vec();
    raw.send(&query(SLEEP)).await;
    sleeping(cluster, 1).await;
    (raw, pid, key)
}

/// Without passing on, the query would sleep on, and the client would wait for ten seconds in
/// vain.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_lands_whichever_replica_it_reaches() {
    let (cluster, keys) = (Cluster::start().await, Keys::new());
    let replicas = replicas(&cluster, &keys, 3, "pool_size = 2").await;
    for version in [V3_0, V3_2] {
        for (at, reached) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (1, 1)] {
            let (mut raw, pid, key) = sleeper(&cluster, &replicas[at], version).await;
            assert_eq!(key.len(), if version == V3_2 { 46 } else { 4 });
            // The end of the stream says that the cancel has landed.
            send_cancel(&replicas[reached], pid, &key).await;
            let end = raw.until(b'Z').await;
            assert_eq!(sqlstate(&end).as_deref(), Some("57014"), "{at} {reached}");
            // The session goes on, and can be cancelled again.
            assert_eq!(sqlstate(&raw.ask(&query("select 1")).await), None);
        }
    }
    let text = replicas[0].metrics().await;
    for (direction, count) in [("sent", 4), ("received", 4)] {
        let line = format!(
            "pgvalet_fleet_cancels_total{{direction=\"{direction}\",outcome=\"landed\"}} {count}"
        );
        assert!(text.contains(&line), "{line} in\n{text}");
    }
    for replica in &replicas {
        assert!(replica.audit_of("session.deny").is_empty());
    }
}

/// Drivers, which know nothing of it, through a load balancer.
#[tokio::test(flavor = "multi_thread")]
async fn drivers_cancel_through_a_load_balancer() {
    let (cluster, keys) = (Cluster::start().await, Keys::new());
    let replicas = replicas(&cluster, &keys, 2, "pool_size = 2").await;
    let port = balance(&replicas).await;
    let dsn = format!("host=127.0.0.1 port={port} user=anyone dbname=app");
    let session = connect(&dsn).await.expect("connected");
    let cancel = async {
        sleeping(&cluster, 1).await;
        let token = session.cancel_token();
        token.cancel_query(NoTls).await.expect("sent");
    };
    let (result, ()) = tokio::join!(session.simple_query(SLEEP), cancel);
    assert_eq!(told(&result.expect_err("cancelled")).0, "57014");

    let program = r"
import sys, threading, psycopg
with psycopg.connect(sys.argv[1], autocommit=True) as session:
    threading.Timer(1, session.cancel).start()
    try:
        session.execute('select pg_sleep(60)')
    except psycopg.errors.QueryCanceled:
        print('cancelled', session.execute('select 1').fetchone()[0])
";
    let python = tokio::task::spawn_blocking(move || {
        let mut python = Command::new(venv("python"));
        python.args(["-c", program, &dsn]).output()
    });
    let output = python.await.expect("no panic").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.trim(), "cancelled 1", "{output:?}");
}

/// The key of another fleet, an altered key, a replica that has no fleet.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_cancel_nothing() {
    let (cluster, keys) = (Cluster::start().await, Keys::new());
    let replicas = replicas(&cluster, &keys, 2, "pool_size = 2").await;
    let secret = {
        let (role, password) = ("stranger", new_password());
        cluster.create_role(role, &password).await;
        cluster.secret(role, &password)
    };
    let ports = [free_port(), fleet_port(&replicas[0])];
    let stranger = Proxy::with_one_database(&secret, "")
        .fleet(&member(&keys.of(2), ports[0], &ports))
        .start()
        .await;
    let alone = Proxy::with_one_database(&secret, "").start().await;
    for version in [V3_0, V3_2] {
        let (mut raw, pid, key) = sleeper(&cluster, &replicas[0], version).await;
        for reached in [&stranger, &alone] {
            send_cancel(reached, pid, &key).await;
        }
        for byte in 0..key.len() {
            let mut altered = key.clone();
            altered[byte] ^= 1;
            send_cancel(&replicas[1], pid, &altered).await;
        }
        send_cancel(&replicas[1], pid ^ 1, &key).await;
        if version == V3_2 {
            send_cancel(&replicas[1], pid, &key[..key.len() - 1]).await;
        }
        sleeping(&cluster, 1).await;
        assert!(raw.is_silent(), "it sleeps on");
        send_cancel(&replicas[1], pid, &key).await;
        let end = raw.until(b'Z').await;
        assert_eq!(sqlstate(&end).as_deref(), Some("57014"));
    }
    // Each has its record, as any request with a wrong key.
    for proxy in [&stranger, &alone, &replicas[1]] {
        let denied = proxy.audit_seen("session.deny").await;
        assert!(denied.iter().all(|record| record["reason"] == "cancel_key"));
    }
    assert!(replicas[0].audit_of("session.deny").is_empty());
}

/// A replica that hangs, and one that is gone: the request ends all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_does_not_answer_holds_nobody_up() {
    let (cluster, keys) = (Cluster::start().await, Keys::new());
    let mut replicas = replicas(&cluster, &keys, 2, "pool_size = 2").await;
    let (raw, pid, key) = sleeper(&cluster, &replicas[0], V3_2).await;
    replicas[0].signal(Signal::SIGSTOP);
    send_cancel(&replicas[1], pid, &key).await;
    replicas[0].signal(Signal::SIGKILL);
    replicas[0]
        .wait_exit(std::time::Duration::from_secs(10))
        .await;
    send_cancel(&replicas[1], pid, &key).await;
    drop(raw);
    let log = replicas[1].log();
    assert_eq!(log.matches("could not be passed on").count(), 2, "{log}");
    assert!(
        !log.contains(&pid.to_string()),
        "it says nothing of the client"
    );
}
