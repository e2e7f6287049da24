//! A rotator of another kind at work on the same secret: the label decides.

use std::time::Duration;

use serde_json::Value;

use super::common::{Cluster, eventually, new_password};
use super::scene::{Scene, errors};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Puts AWSPENDING on another version as soon as pgvalet's ALTER ROLE waits for
/// a lock.
async fn take_the_label(scene: &Scene, value: &Value) {
    let watcher = scene.cluster.superuser().await;
    let waiting = "select count(*) from pg_stat_activity
                   where wait_event_type = 'Lock' and query like 'ALTER ROLE%PASSWORD%'";
    eventually("ALTER ROLE waits", Duration::from_secs(20), || async {
        (watcher.value(waiting).await == "1").then_some(())
    })
    .await;
    let args = ["--stage", "AWSPENDING", "--token", TOKEN];
    scene.put(&value.to_string(), &args);
}

/// The other rotator takes AWSPENDING while pgvalet's ALTER ROLE is under way.
/// pgvalet must not move AWSCURRENT, and must leave a password in force that is
/// under a label, since the other one knows no other versions.
#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_label_makes_way() {
    let scene = Scene::new(Cluster::start().await).await;
    let first = scene.labelled("AWSCURRENT").expect("a version");
    let old = scene.current();
    let holder = scene.cluster.superuser().await;
    let hold = "BEGIN; ALTER ROLE app_user CONNECTION LIMIT 50";
    holder.batch_execute(hold).await.expect("the row is locked");
    let (password, mut value) = (new_password(), old.clone());
    value["password"] = password.as_str().into();

    let other = async {
        take_the_label(&scene, &value).await;
        holder.batch_execute("ROLLBACK").await.expect("let go");
    };
    let (output, ()) = tokio::join!(scene.rotate(&[]), other);
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in [
        "another rotator is at work",
        "the role has the password of AWSCURRENT again",
    ] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    assert_eq!(scene.labelled("AWSCURRENT"), Some(first.clone()));
    assert_eq!(scene.labelled("AWSPENDING").as_deref(), Some(TOKEN));
    assert!(scene.logs_in(&old).await, "AWSCURRENT logs in");

    // What the functions of AWS do next.
    scene.cluster.alter_password("app_user", &password).await;
    let stage = ["secret", "stage", "app", "AWSCURRENT", "--to", TOKEN];
    let stage = [&stage[..], &["--from", &first]].concat();
    super::common::cli::pgvalet_ok(&scene.proxy.config(), &stage, "");
    scene.assert_whole().await;
    scene.rotate_ok(&[]).await;
    scene.assert_whole().await;
}

/// The other rotator has set its own password by then: that stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_other_rotator_set_is_not_taken_back() {
    let scene = Scene::new(Cluster::start().await).await;
    scene.admin().await;
    let holder = scene.cluster.superuser().await;
    let hold = "BEGIN; ALTER ROLE app_user CONNECTION LIMIT 50";
    holder.batch_execute(hold).await.expect("the row is locked");
    let (password, mut value) = (new_password(), scene.current());
    value["password"] = password.as_str().into();
    let set = format!("COMMIT; ALTER ROLE app_user PASSWORD '{password}'");
    let other = async {
        take_the_label(&scene, &value).await;
        // Postgres refuses the one that waited: the row has changed.
        holder.batch_execute(&set).await.expect("set");
    };
    let (output, ()) = tokio::join!(scene.rotate(&["--admin-secret", "admin"]), other);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    assert_eq!(scene.labelled("AWSPENDING").as_deref(), Some(TOKEN));
    assert!(
        scene.logs_in(&value).await,
        "the other one's password stays"
    );
    // Whoever rotates next completes the other one's attempt.
    assert_eq!(scene.rotate_ok(&[]).await, TOKEN);
    scene.assert_whole().await;
}
