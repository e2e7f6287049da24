//! What stands in the way of a rotation, and the way out that it shows.

use super::common::{Cluster, cli};
use super::scene::Scene;

/// A role's own time limits are for its clients.
#[tokio::test(flavor = "multi_thread")]
async fn the_time_limits_of_a_role_do_not_end_its_rotation() {
    let mut clusters = Cluster::all();
    while let Some(cluster) = clusters.next().await {
        let scene = Scene::new(cluster).await;
        for limit in [
            "statement_timeout = '1ms'",
            "lock_timeout = '1ms'",
            "idle_in_transaction_session_timeout = '1ms'",
            "idle_session_timeout = '1s'",
        ] {
            let sql = format!("ALTER ROLE app_user SET {limit}");
            scene.cluster.execute(&sql).await;
        }
        scene.rotate_ok(&[]).await;
        scene.assert_whole().await;
    }
}

/// Runs what an error says after "pgvalet ", with its last word cut at punctuation.
fn follow(scene: &Scene, said: &str, from: &str) {
    let (_, command) = said.split_once(from).expect(said);
    let command = command.lines().next().unwrap_or_default();
    let words: Vec<&str> = from
        .split_whitespace()
        .chain(command.split_whitespace())
        .skip(1)
        .collect();
    cli::pgvalet_ok(&scene.proxy.config(), &words, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_no_credential_shows_the_way_out() {
    let scene = Scene::new(Cluster::start().await).await;
    let first = scene.labelled("AWSCURRENT").expect("a version");
    scene.put("no-json-7f3a", &["--any", "--stage", "AWSPENDING"]);
    let said = scene.rotate_fails(&[]).await;
    follow(&scene, &said, "pgvalet secret stage app AWSPENDING");
    assert_eq!(scene.labelled("AWSPENDING"), None);
    scene.rotate_ok(&[]).await;

    let second = scene.labelled("AWSCURRENT").expect("a version");
    assert_ne!(first, second);
    let broken = scene.put("no-json-8a1c", &["--any"]);
    let said = scene.rotate_fails(&[]).await;
    let way = format!("pgvalet secret stage app AWSCURRENT --to VERSION --from {broken}");
    assert!(said.contains(&way), "{said}");
    follow(
        &scene,
        &said.replace("VERSION", &second),
        "pgvalet secret stage app",
    );
    scene.rotate_ok(&[]).await;
    scene.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_brings_old_passwords_back_says_so() {
    let scene = Scene::new(Cluster::start().await).await;
    let file = scene.proxy.directory().join("backup.db");
    let file = file.to_str().expect("text");
    let run = |args: &[&str]| cli::pgvalet_ok(&scene.proxy.config(), args, "");
    run(&["store", "backup", file]);
    let old = scene.labelled("AWSCURRENT").expect("a version");

    let said = run(&["store", "restore", file, "--force"]);
    assert!(
        !said.contains("older") && !said.contains("not known"),
        "{said}"
    );

    let new = scene.rotate_ok(&[]).await;
    let said = run(&["store", "restore", file, "--force", "--offline"]);
    let (_, rest) = said
        .split_once("These secrets are older than in the store that was there:\n")
        .expect(&said);
    assert!(
        rest.starts_with(&format!("  app: version {old} of ")),
        "{said}"
    );
    assert!(
        rest.contains(&new) && rest.contains("store.db.replaced-"),
        "{said}"
    );

    let said = run(&["store", "restore", file, "--force"]);
    let (_, rest) = said
        .split_once("These secrets are older than what Postgres has now:\n")
        .expect(&said);
    assert!(
        rest.starts_with(&format!("  app: secret \"app\", version {old}")),
        "{said}"
    );
    assert!(
        rest.contains("28P01") && rest.contains("ALTER ROLE"),
        "{said}"
    );
}
