//! `rotation = { plaintext = true }`, for servers whose hooks judge passwords.

use super::common::{Cluster, new_password};
use super::scene::Scene;

const PLAINTEXT: &str = "rotation = { plaintext = true }";

/// Postgres' own check hook, and a log of every statement.
async fn demand(cluster: &mut Cluster) {
    let settings = [
        ("shared_preload_libraries", "passwordcheck"),
        ("log_statement", "all"),
    ];
    cluster.restart_with(&settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_sees_the_password_and_the_server_stores_a_verifier() {
    let mut clusters = Cluster::all();
    while let Some(mut cluster) = clusters.next().await {
        demand(&mut cluster).await;
        let scene = Scene::with(cluster, "app_user", PLAINTEXT).await;
        let old = scene.current();
        scene.rotate_ok(&[]).await;
        scene.assert_whole().await;
        assert!(!scene.logs_in(&old).await);
        let stored = "select left(rolpassword, 14) from pg_authid where rolname = 'app_user'";
        let superuser = scene.cluster.superuser().await;
        assert_eq!(superuser.value(stored).await, "SCRAM-SHA-256$");
        // A user of no rank cannot keep it out of the log: the documents say so.
        let text = |value: &serde_json::Value| value["password"].as_str().map(str::to_owned);
        let password = text(&scene.current()).expect("text");
        assert!(scene.cluster.log().contains(&password));

        // One who may, does.
        let password = new_password();
        let sql = format!("CREATE ROLE chief SUPERUSER LOGIN PASSWORD '{password}'");
        scene.cluster.execute(&sql).await;
        let value = scene.cluster.secret("chief", &password);
        scene.proxy.secret_create("admin", &value);
        for more in [&["--admin-secret", "admin"][..], &ALTERNATE] {
            scene.rotate_ok(more).await;
            scene.assert_whole().await;
            let password = text(&scene.current()).expect("text");
            assert!(!scene.cluster.log().contains(&password));
        }
    }
}

const ALTERNATE: [&str; 4] = ["--strategy", "alternating", "--admin-secret", "admin"];

/// A password that the hook refuses leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_the_hook_refuses() {
    let cluster = Cluster::start().await;
    if cluster.binaries.major < 18 {
        return; // the hook's demands can be set from 18 on
    }
    let mut cluster = cluster;
    let sql = "ALTER SYSTEM SET passwordcheck.min_password_length = 64";
    demand(&mut cluster).await;
    let scene = Scene::with(cluster, "app_user", PLAINTEXT).await;
    scene.cluster.execute(sql).await;
    scene.cluster.execute("SELECT pg_reload_conf()").await;
    let before = scene.labelled("AWSCURRENT");
    let said = scene.rotate_fails(&[]).await;
    assert!(said.contains("password is too short"), "{said}");
    assert_eq!(scene.labelled("AWSCURRENT"), before);
    assert_eq!(scene.labelled("AWSPENDING"), None);
    assert!(scene.logs_in(&scene.current()).await);
}

/// The password goes in clear only where nobody can listen.
#[tokio::test(flavor = "multi_thread")]
async fn no_password_in_clear_over_a_network_in_clear() {
    // Not an address of loopback by its name, though it leads there.
    let more = format!("{PLAINTEXT}\nhost = \"0.0.0.0\"\ntls = \"disable\"");
    let scene = Scene::with(Cluster::start().await, "app_user", &more).await;
    let before = scene.labels();
    let said = scene.rotate_fails(&[]).await;
    assert!(said.contains("sends the new password in clear"), "{said}");
    assert_eq!(scene.labels(), before);
}
