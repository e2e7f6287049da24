//! Rotations that the proxy does by itself.

use std::time::Duration;

use serde_json::Value;

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
