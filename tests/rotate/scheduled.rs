//! Rotations that the proxy does by itself.

use std::time::Duration;

use serde_json::Value;

use super::common::cli::{pgvalet, pgvalet_ok};
use super::common::{Cluster, eventually};
use super::crash::Load;
use super::scene::Scene;

fn finished(scene: &Scene) -> Vec<String> {
    let records = scene.proxy.audit_of("rotation.step");
    records
        .iter()
        .filter(|r| r["step"] == "finishSecret" && r["outcome"] == "success")
        .map(|r| {
            r["credential"]["version"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_rotates_on_its_schedule() {
    let more = "pool_size = 4\nserver_lifetime = \"1s\"\nrotation = { every = \"1s\" }";
    let mut scene = Scene::with(Cluster::start().await, "app_user", more).await;
    let first = scene.current();
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    let load = Load::start(&scene.proxy.dsn("app"));
    eventually("three rotations", Duration::from_secs(60), || async {
        (finished(&scene).len() >= 3).then_some(())
    })
    .await;
    load.finish().await;
    let labels = [
        "secret=\"app\"",
        "step=\"finishSecret\"",
        "outcome=\"done\"",
    ];
    let counted = scene
        .proxy
        .metric("pgvalet_rotation_steps_total", &labels)
        .await;
    assert!(counted >= Some(3.0), "{counted:?}");
    let (code, steps) = scene.proxy.get("/rotations").await;
    let steps: Vec<Value> = serde_json::from_str(&steps).expect("JSON");
    let done = |s: &&Value| s["step"] == "finishSecret" && s["outcome"] == "done";
    assert_eq!((code, steps.iter().filter(done).count() >= 3), (200, true));
    assert_eq!(steps[0]["secret"], "app");
    assert!(!scene.logs_in(&first).await);
}

/// What is due waits for a person, who sees that in the one verdict, and for no longer.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_waits_until_a_person_approves() {
    let rotation = |more: &str| format!("rotation = {{ every = \"1s\", {more} }}");
    let mut scene = Scene::with(
        Cluster::start().await,
        "app_user",
        &rotation("approve = true"),
    )
    .await;
    let first = scene.current();
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    let config = scene.proxy.config();
    let approve = |secret: &str| pgvalet(&config, &["rotation", "approve", secret], "");
    let waits = async || {
        let status = scene.proxy.get("/status").await.1;
        status.contains("\"kind\":\"rotation_unapproved\"")
    };
    let patience = Duration::from_secs(30);
    eventually("it is due", patience, async || waits().await.then_some(())).await;
    assert_eq!(
        (finished(&scene).len(), scene.current()),
        (0, first.clone())
    );
    let health = pgvalet(&config, &["health"], "");
    let said = String::from_utf8_lossy(&health.stdout).into_owned();
    assert!(
        said.contains("pgvalet rotation approve app lets it begin"),
        "{said}"
    );
    let wrong = approve("ap");
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        !wrong.status.success() && said.contains("did you mean app?"),
        "{said}"
    );

    let approved = pgvalet_ok(&config, &["rotation", "approve", "app"], "");
    assert!(approved.contains("APPROVE app"), "{approved}");
    eventually("it is rotated", patience, || async {
        (finished(&scene).len() == 1).then_some(())
    })
    .await;
    assert!(!scene.logs_in(&first).await);
    // The approval was for one.
    eventually("the next one is due", patience, async || {
        waits().await.then_some(())
    })
    .await;
    assert_eq!(finished(&scene).len(), 1);
    let acts = scene.proxy.audit_of("admin");
    assert!(
        acts.iter().any(|r| r.to_string().contains("APPROVE app")),
        "{acts:?}"
    );
}

/// A freeze holds up the schedule, and nothing that a person asks for.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_starts_by_its_schedule_in_a_freeze() {
    let year = r#"freeze = ["01-01/06-30", "07-01/12-30", "12-31/12-31", "Mon 00:00/Sun 23:59"]"#;
    let frozen = r#"freeze = ["01-01/12-30", "2020-01-01/2090-01-01"]"#;
    let rotation = |more: &str| format!("rotation = {{ every = \"1s\", {more} }}");
    let mut scene = Scene::with(Cluster::start().await, "app_user", &rotation(frozen)).await;
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    let config = scene.proxy.config();
    let status = scene.proxy.get("/status").await.1;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let next = status["secrets"][0]["next_rotation"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(next.starts_with("2090-12-31T00:"), "{next}");
    let planned = pgvalet_ok(&config, &["rotate", "--dry-run"], "");
    assert!(planned.contains("2090-12-31T00:"), "{planned}");
    scene.rotate_ok(&[]).await;
    assert_eq!(
        scene.proxy.audit_of("rotation.step").len(),
        0,
        "the proxy rotated nothing"
    );

    // What would never rotate is a mistake in the file.
    let text = std::fs::read_to_string(&config).expect("the file");
    std::fs::write(&config, text.replace(frozen, year)).expect("written");
    let refused = pgvalet(&config, &["check", "--offline"], "");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("leave no moment free"),
        "{said}"
    );
    let thawed = text.replace(frozen, "plaintext = false");
    scene.proxy.reload(|_| thawed).await;
    eventually("a rotation", Duration::from_secs(30), || async {
        (!finished(&scene).is_empty()).then_some(())
    })
    .await;
}
