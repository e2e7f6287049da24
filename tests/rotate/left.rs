//! Secrets that somebody else rotates are left to it, and followed.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::types::{RotationRulesType, Tag};
use serde_json::Value;

use super::common::moto::Moto;
use super::common::{Cluster, cli, eventually, new_password};
use super::scene::Scene;

const LAMBDA: &str = "arn:aws:lambda:eu-central-1:123456789012:function:rotate";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Checks a secret that is rotated by `by`: the proxy, whose schedule is long
/// due, keeps off, `pgvalet rotate` says why, and a rotation by the other one is
/// adopted.
async fn left_and_followed(mut scene: Scene, client: &Client, by: &str) {
    let first = scene.labelled("AWSCURRENT").expect("a version");
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    let said = format!("rotation is left to {by}");
    eventually(&said, Duration::from_secs(20), || async {
        scene.proxy.log().contains(&said).then_some(())
    })
    .await;
    for args in [&[][..], &["--now"], &["--strategy", "single"]] {
        let said = scene.rotate_fails(args).await;
        let expected = format!("secret \"app\" is rotated by {by}; pgvalet only follows it");
        assert!(said.contains(&expected), "{said}");
    }
    let args = ["rotate", "app", "--dry-run"];
    let said = cli::pgvalet_ok(&scene.proxy.config(), &args, "");
    assert!(said.contains(&format!("is rotated by {by}")), "{said}");
    assert!(!said.contains("window"), "{said}");

    let client_of_proxy = scene.proxy.connect("app").await;
    let (password, mut value) = (new_password(), scene.current());
    value["password"] = password.as_str().into();
    scene.proxy.watch_for(&value.to_string());
    let put = client.put_secret_value().secret_id("app");
    let put = put.client_request_token(TOKEN).version_stages("AWSPENDING");
    put.secret_string(value.to_string())
        .send()
        .await
        .expect("put");
    scene.cluster.alter_password("app_user", &password).await;
    let stage = client.update_secret_version_stage().secret_id("app");
    let stage = stage.version_stage("AWSCURRENT").move_to_version_id(TOKEN);
    let stage = stage.remove_from_version_id(first).send().await;
    stage.expect("moved");
    scene.proxy.wait_in_force("app", TOKEN).await;
    assert_eq!(client_of_proxy.value("select 1").await, "1");
    // Nobody but the other one changed anything.
    assert_eq!(scene.labelled("AWSCURRENT").as_deref(), Some(TOKEN));
    assert_eq!(scene.current(), value);
    let did: Vec<Value> = scene.proxy.audit_of("rotation.step");
    assert!(did.iter().all(|r| r["step"] == "begin"), "{did:?}");
}

const SCHEDULE: &str = "rotation = { every = \"1s\" }";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_with_a_rotation_function() {
    let moto = Moto::start();
    let client = moto.secrets();
    let scene = Scene::in_moto(Cluster::start().await, &moto, SCHEDULE).await;
    let rules = RotationRulesType::builder().automatically_after_days(30);
    let rotate = client.rotate_secret().secret_id("app");
    let rotate = rotate
        .client_request_token(TOKEN)
        .rotation_lambda_arn(LAMBDA);
    // moto has no such function and says so, after it has noted it: the secret
    // stands where a rotation by a function has just begun.
    let _ = rotate.rotation_rules(rules.build()).send().await;
    let described = client.describe_secret().secret_id("app").send().await;
    let described = described.expect("described");
    assert_eq!(described.rotation_lambda_arn(), Some(LAMBDA));
    assert_eq!(described.rotation_enabled(), Some(true));
    left_and_followed(scene, &client, LAMBDA).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_a_service() {
    let moto = Moto::start();
    let client = moto.secrets();
    let scene = Scene::in_moto(Cluster::start().await, &moto, SCHEDULE).await;
    // How moto marks the secrets that its other services make.
    let tag = Tag::builder()
        .key("aws:secretsmanager:owningService")
        .value("rds");
    let tagged = client.tag_resource().secret_id("app").tags(tag.build());
    tagged.send().await.expect("tagged");
    let described = client.describe_secret().secret_id("app").send().await;
    assert_eq!(described.expect("described").owning_service(), Some("rds"));
    left_and_followed(scene, &client, "rds").await;
}
