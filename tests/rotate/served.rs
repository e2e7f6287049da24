//! The store that one pgvalet serves, rotated by another by way of the AWS SDK.

use std::time::Duration;

use super::common::{Cluster, cli, eventually};
use super::crash::Load;
use super::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn one_user_and_two_through_the_sdk() {
    let (mut scene, serving) = Scene::in_served(Cluster::start().await, "").await;
    scene.admin().await;
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    // Clients of the one that reads the store by HTTP, and of the one that has it.
    let loads = [&scene.proxy, &serving].map(|proxy| Load::start(&proxy.dsn("app")));
    for _ in 0..3 {
        let old = scene.current();
        let version = scene.rotate_ok(&[]).await;
        for proxy in [&scene.proxy, &serving] {
            proxy.wait_in_force("app", &version).await;
        }
        scene.assert_whole().await;
        assert!(!scene.logs_in(&old).await);
    }
    let alternate = ["--strategy", "alternating", "--admin-secret", "admin"];
    for user in ["app_user_clone", "app_user"] {
        let version = scene.rotate_ok(&alternate).await;
        assert_eq!(scene.current()["username"], user);
        for proxy in [&scene.proxy, &serving] {
            proxy.wait_in_force("app", &version).await;
        }
        scene.assert_whole().await;
    }
    for load in loads {
        load.finish().await;
    }
    // It was all done by calls, and each is in the store's trail.
    let query = ["audit", "query", "--event", "store.call", "--json"];
    let calls = [
        "PutSecretValue",
        "UpdateSecretVersionStage",
        "GetRandomPassword",
    ];
    eventually(
        "the calls in the trail",
        Duration::from_secs(20),
        || async {
            let trail = cli::pgvalet_ok(&serving.config(), &query, "");
            calls.iter().all(|call| trail.contains(call)).then_some(())
        },
    )
    .await;
}
