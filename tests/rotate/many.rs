//! Many who rotate one secret: each rotation is done once.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::api::{changes, client, log_statements, versions};
use super::common::{Cluster, Proxy, eventually};
use super::scene::{Scene, errors};

/// More proxies with the store of the first.
pub fn replicas(scene: &Scene, count: usize, more: &str) -> Vec<Proxy> {
    let base = scene.proxy.directory().display();
    let store =
        format!("kind = \"embedded\"\npath = \"{base}/store.db\"\nkey_file = \"{base}/store.key\"");
    (0..count)
        .map(|_| {
            let builder = Proxy::builder().store(&store);
            let body = format!("secret = \"app\"\n{more}");
            builder.database("app", &body).prepare()
        })
        .collect()
}

/// The versions that a proxy says it made the current one.
fn finished(proxy: &Proxy) -> Vec<String> {
    let mut records = proxy.audit_of("rotation.step");
    records.retain(|r| r["step"] == "finishSecret" && r["outcome"] == "success");
    let version = |r: &Value| r["credential"]["version"].as_str().map(str::to_owned);
    records.iter().filter_map(version).collect()
}

/// Three proxies with a replica of two, all ready.
async fn three(more: &str) -> (Scene, Client, Vec<Proxy>) {
    let mut scene = Scene::with(Cluster::start().await, "app_user", more).await;
    log_statements(&scene.cluster).await;
    let client = client(&scene.proxy);
    let mut others = replicas(&scene, 2, more);
    scene.proxy.run();
    others.iter_mut().for_each(Proxy::run);
    scene.proxy.wait_ready().await;
    for proxy in &mut others {
        proxy.wait_ready().await;
    }
    (scene, client, others)
}

/// Checks what all of them did together: each version made by one of them, each
/// password set once.
async fn assert_once(scene: &Scene, client: &Client, others: &[Proxy], labelled: usize) {
    let mut all = finished(&scene.proxy);
    others.iter().for_each(|proxy| all.extend(finished(proxy)));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "a version was finished twice");
    assert_eq!(versions(client).await.len(), labelled + count);
    assert_eq!(changes(&scene.cluster), count);
    scene.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_do_once_what_rotate_secret_asks_for() {
    let (scene, client, others) = three("").await;
    for _ in 0..5 {
        let answer = client.rotate_secret().secret_id("app");
        let answer = answer.rotation_rules(
            aws_sdk_secretsmanager::types::RotationRulesType::builder()
                .automatically_after_days(30)
                .build(),
        );
        let version = answer.send().await.expect("accepted").version_id;
        let version = version.expect("a version");
        for proxy in others.iter().chain([&scene.proxy]) {
            proxy.wait_in_force("app", &version).await;
        }
        eventually("its end", Duration::from_secs(20), || async {
            let pending = scene.labelled("AWSPENDING").is_some();
            (!pending && scene.labelled("AWSCURRENT").as_ref() == Some(&version)).then_some(())
        })
        .await;
    }
    assert_once(&scene, &client, &others, 1).await;
    assert_eq!(changes(&scene.cluster), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_with_one_schedule_rotate_once_each_time() {
    const EVERY: f64 = 2.0;
    let (mut scene, client, mut others) = three("rotation = { every = \"2s\" }").await;
    eventually("four rotations", Duration::from_secs(60), || async {
        (versions(&client).await.len() >= 5).then_some(())
    })
    .await;
    // Each follows what the others made.
    for proxy in others.iter().chain([&scene.proxy]) {
        eventually("all adopt", Duration::from_secs(20), || async {
            let current = scene.labelled("AWSCURRENT")?;
            let labels = ["secret=\"app\"", &format!("version=\"{current}\"")];
            let value = proxy.metric("pgvalet_secret_version_info", &labels).await;
            (value == Some(1.0)).then_some(())
        })
        .await;
    }
    // Those under way are completed; then nobody begins another.
    let made = versions(&client).await;
    for proxy in &others {
        proxy.signal(Signal::SIGTERM);
    }
    for proxy in &mut others {
        proxy.wait_exit(Duration::from_secs(20)).await;
    }
    let count = versions(&client).await.len();
    eventually("the end of one more", Duration::from_secs(30), || async {
        let current = scene.labelled("AWSCURRENT")?;
        let more = versions(&client).await.len() > count;
        (more && finished(&scene.proxy).contains(&current)).then_some(())
    })
    .await;
    for pair in made.windows(2) {
        // Dates of versions are of whole milliseconds at best.
        let distance = pair[1] - pair[0];
        assert!(distance > EVERY - 0.01, "only {distance} s between two");
    }
    scene.proxy.signal(Signal::SIGTERM);
    scene.proxy.wait_exit(Duration::from_secs(20)).await;
    let mut all = finished(&scene.proxy);
    others.iter().for_each(|proxy| all.extend(finished(proxy)));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "a version was finished twice");
    assert!(count >= 4);
}

/// Command lines that race, again and again: who waits for another's rotation
/// takes it for its own, and every version and every ALTER ROLE has one that
/// says so.
#[tokio::test(flavor = "multi_thread")]
async fn of_rotators_that_race_one_proceeds_at_a_time() {
    const ROUNDS: usize = 5;
    const RACERS: usize = 4;
    let mut scene = Scene::new(Cluster::start().await).await;
    log_statements(&scene.cluster).await;
    let client = client(&scene.proxy);
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    let mut rotated = 0;
    let mut elsewhere = 0;
    for _ in 0..ROUNDS {
        let racers = (0..RACERS).map(|_| scene.rotate(&["--json"]));
        for output in futures_util::future::join_all(racers).await {
            assert!(output.status.success(), "{}", errors(&output));
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let lines: Vec<Value> = said
                .lines()
                .map(|line| serde_json::from_str(line).expect("JSON"))
                .collect();
            let did = |step: &str| {
                let is = |l: &&Value| l["step"] == step && l["outcome"] == "done";
                lines.iter().filter(is).count()
            };
            let ending = lines.last().expect("an ending");
            match ending["outcome"].as_str() {
                Some("rotated") => {
                    rotated += 1;
                    assert_eq!((did("createSecret"), did("finishSecret")), (1, 1));
                }
                Some("elsewhere") => {
                    elsewhere += 1;
                    assert_eq!((did("createSecret"), did("setSecret")), (0, 0));
                }
                other => panic!("{other:?}: {said}"),
            }
        }
        scene.assert_whole().await;
    }
    assert_eq!(rotated + elsewhere, ROUNDS * RACERS);
    assert!(rotated >= ROUNDS && elsewhere > 0, "{rotated}, {elsewhere}");
    assert_eq!(versions(&client).await.len(), 1 + rotated);
    assert_eq!(changes(&scene.cluster), rotated);
}
