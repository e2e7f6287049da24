//! How many lines the metrics of a large proxy are.

use std::time::Duration;

use futures_util::future::join_all;

use crate::common::{Cluster, Proxy, eventually, new_password};

/// Forty databases, each with a secret of its own, all in use, after a few rotations.
#[tokio::test(flavor = "multi_thread")]
async fn forty_databases_are_fewer_than_800_lines() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let value = cluster.secret("app_user", &password);
    let names: Vec<String> = (0..40).map(|n| format!("app{n}")).collect();
    let mut builder = Proxy::builder();
    // Making forty secrets by the command line takes a while: a few serve all.
    for n in 0..4 {
        builder = builder.secret(&format!("secret{n}"), &value);
    }
    for (n, name) in names.iter().enumerate() {
        builder = builder.database(name, &format!("secret = \"secret{}\"", n % 4));
    }
    let proxy = builder.start().await;
    let sessions = join_all(names.iter().map(|name| async {
        let session = proxy.connect(name).await;
        session.value("select 1").await;
        session
    }))
    .await;
    for n in 0..4 {
        let name = format!("secret{n}");
        let version = proxy.secret_put(&name, &value).await;
        proxy.wait_in_force(&name, &version).await;
    }
    // Each of the ten pools of a secret adopts it by itself.
    let metrics = eventually("no past version", Duration::from_secs(20), || async {
        let metrics = proxy.metrics().await;
        let versions = metrics
            .lines()
            .filter(|l| l.starts_with("pgvalet_secret_version_info{"));
        (versions.count() == 4).then_some(metrics)
    })
    .await;
    // What forty secrets instead of four would add.
    let of_one = metrics.lines().filter(|l| l.contains("secret=\"secret0\""));
    let of_one = of_one.filter(|l| !l.contains("database=")).count();
    let lines = metrics.lines().count() + 36 * of_one;
    assert!(lines < 800, "{lines} lines:\n{metrics}");
    drop(sessions);
}
