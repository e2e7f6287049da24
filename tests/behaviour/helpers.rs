//! The helpers of tests/common: a test that stands on them proves nothing if they
//! are wrong.

use std::process::Stdio;
use std::time::Duration;

use crate::common::binaries::client_program;
use crate::common::client::told;
use crate::common::moto::Moto;
use crate::common::sampler::Sampler;
use crate::common::{Cluster, connect, eventually, new_password};

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_demands_the_password_and_takes_the_new_one() {
    let mut clusters = Cluster::all();
    while let Some(mut cluster) = clusters.next().await {
        let (old, new) = (new_password(), new_password());
        cluster.create_role("app_user", &old).await;
        let as_user = |password: &str| {
            let port = cluster.port;
            format!("host=127.0.0.1 port={port} user=app_user dbname=postgres password={password}")
        };
        let session = connect(&as_user(&old)).await.expect("the right password");
        assert_eq!(session.value("select current_user").await, "app_user");

        cluster.alter_password("app_user", &new).await;
        let error = connect(&as_user(&old))
            .await
            .err()
            .expect("no longer valid");
        assert_eq!(told(&error).0, "28P01");
        connect(&as_user(&new)).await.expect("the new password");
        // A session survives the change of its password: rotation rests on it.
        assert_eq!(session.value("select 1").await, "1");
        assert!(
            cluster
                .log()
                .contains("connection authorized: user=app_user")
        );

        let dsn = as_user(&new);
        cluster.stop();
        assert!(connect(&dsn).await.is_err());
        cluster.run().await;
        connect(&dsn).await.expect("the same data after a restart");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_a_cluster_verifies() {
    let (cluster, other) = tokio::join!(Cluster::start(), Cluster::start());
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    for (ca, verifies) in [(cluster.ca(), true), (other.ca(), false)] {
        let dsn = format!(
            "host=localhost hostaddr=127.0.0.1 port={} user=app_user dbname=postgres sslmode=verify-full sslrootcert={}",
            cluster.port,
            ca.display()
        );
        let status = client_program("psql")
            .args(["-X", "-w", "-c", "select 1", &dsn])
            .env("PGPASSWORD", &password)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("psql starts");
        assert_eq!(status.success(), verifies);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sampler_sees_every_backend() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let sampler = Sampler::start(&cluster).await;
    let dsn = format!(
        "host=127.0.0.1 port={} user=app_user dbname=postgres password={password}",
        cluster.port
    );
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(connect(&dsn).await.expect("connected"));
    }
    sampler.look().await;
    drop(sessions);
    assert_eq!(sampler.most().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_dropped_hangs_up() {
    let cluster = Cluster::start().await;
    let admin = cluster.superuser().await;
    let pid = cluster
        .superuser()
        .await
        .value("select pg_backend_pid()")
        .await;
    eventually("the backend is gone", Duration::from_secs(10), || async {
        let alive = format!("select count(*) from pg_stat_activity where pid = {pid}");
        (admin.value(&alive).await == "0").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_for_aws_moves_labels_as_aws_does() {
    let moto = Moto::start();
    let store = moto.secrets();
    store
        .create_secret()
        .name("a/b")
        .secret_string("one")
        .send()
        .await
        .expect("created");
    store
        .put_secret_value()
        .secret_id("a/b")
        .secret_string("two")
        .send()
        .await
        .expect("put");
    for (stage, value) in [("AWSCURRENT", "two"), ("AWSPREVIOUS", "one")] {
        let answer = store
            .get_secret_value()
            .secret_id("a/b")
            .version_stage(stage)
            .send()
            .await;
        assert_eq!(
            answer.expect("found").secret_string(),
            Some(value),
            "{stage}"
        );
    }
}
