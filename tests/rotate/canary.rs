//! The replica that rotates uses the new version before the others do, and takes it back where
//! that does not go well.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::types::RotationRulesType;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::api::client;
use super::common::moto::Moto;
use super::common::{Cluster, Proxy, cli, connect, eventually, new_password};
use super::crash::Load;
use super::many::replicas;
use super::scene::{Scene, errors};

const SOON: Duration = Duration::from_secs(60);
const SINGLE: &str = "rotation = { canary = 1 }";
const ALTERNATING: &str =
    "rotation = { canary = 1, strategy = \"alternating\", admin_secret = \"admin\" }";

/// Two replicas with clients. Each connection lasts a second, so that new ones log in all the time.
struct Pair {
    scene: Scene,
    other: Proxy,
    client: Client,
    loads: Vec<Load>,
}

impl Pair {
    async fn start(rotation: &str) -> Self {
        let more = format!("pool_size = 4\nserver_lifetime = \"1s\"\n{rotation}");
        let mut scene = Scene::with(Cluster::start().await, "app_user", &more).await;
        scene.admin().await;
        let client = client(&scene.proxy);
        let mut other = replicas(&scene, 1, &more).remove(0);
        scene.proxy.run();
        other.run();
        scene.proxy.wait_ready().await;
        other.wait_ready().await;
        let loads = [&scene.proxy, &other].map(|proxy| Load::start(&proxy.dsn("app")));
        Self {
            scene,
            other,
            client,
            loads: loads.into(),
        }
    }

    /// Asks for a rotation: its version.
    async fn ask(&self) -> String {
        let rules = RotationRulesType::builder().automatically_after_days(30);
        let asked = self.client.rotate_secret().secret_id("app");
        let asked = asked.rotation_rules(rules.build()).send().await;
        asked.expect("accepted").version_id.expect("a version")
    }

    /// The same, and the replicas that carry it out and follow.
    async fn rotate(&self) -> (String, &Proxy, &Proxy) {
        let version = self.ask().await;
        let (one, two) = (&self.scene.proxy, &self.other);
        let tested = |proxy: &Proxy| at(proxy, "rotation.step", "testSecret", &version).is_some();
        let by_one = eventually("the new password is tested", SOON, || async {
            (tested(one) || tested(two)).then(|| tested(one))
        })
        .await;
        match by_one {
            true => (version, one, two),
            false => (version, two, one),
        }
    }

    async fn finish(self) -> Scene {
        for load in self.loads {
            load.finish().await;
        }
        self.scene
    }
}

/// When a replica recorded an event of a version, and of a step of a rotation.
fn at(proxy: &Proxy, event: &str, step: &str, version: &str) -> Option<DateTime<Utc>> {
    let found = proxy.audit_of(event).into_iter().find(|r| {
        let is_step = step.is_empty() || r["step"] == step;
        is_step && r["credential"]["version"] == version
    });
    let time = found?["time"].as_str()?.parse();
    Some(time.expect("RFC 3339"))
}

fn adopted(proxy: &Proxy, version: &str) -> Option<DateTime<Utc>> {
    at(proxy, "secret.adopt", "", version)
}

/// Waits until a replica that used another version has returned to this one. Others may begin the
/// next attempt at once.
async fn returned(proxy: &Proxy, version: &str) {
    eventually("it is in force again", SOON, || async {
        let adoptions = proxy.audit_of("secret.adopt").into_iter();
        let again = adoptions.filter(|r| r["credential"]["version"] == version);
        (again.count() >= 2).then_some(())
    })
    .await;
}

/// Nobody made a version the current one.
fn assert_unfinished(proxies: &[&Proxy], version: &str) {
    for proxy in proxies {
        assert_eq!(at(proxy, "rotation.step", "finishSecret", version), None);
    }
}

/// What a replica recorded of the canary.
fn canary(proxy: &Proxy) -> Option<Value> {
    let mut steps = proxy.audit_of("rotation.step").into_iter();
    steps.rfind(|r| r["step"] == "canary")
}

async fn one_uses_it_first(rotation: &str, others_wait: bool) {
    let pair = Pair::start(rotation).await;
    let (version, first, second) = pair.rotate().await;
    for proxy in [first, second] {
        proxy.wait_in_force("app", &version).await;
    }
    let finished = eventually("it is finished", SOON, || async {
        at(first, "rotation.step", "finishSecret", &version)
    })
    .await;
    let tried = canary(first).expect("a canary");
    assert_eq!(tried["outcome"], "success", "{tried}");
    let early = adopted(first, &version).expect("adopted");
    assert!(
        finished - early >= TimeDelta::seconds(5),
        "{early}, {finished}"
    );
    let late = adopted(second, &version).expect("adopted");
    if others_wait {
        assert!(
            late >= finished - TimeDelta::milliseconds(100),
            "{late}, {finished}"
        );
    }
    assert_eq!(canary(second), None, "one canary");
    // It stays: the labels have moved to it.
    let scene = pair.finish().await;
    assert_eq!(scene.labelled("AWSCURRENT").as_deref(), Some(&*version));
    scene.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_uses_a_new_user_before_the_others_follow() {
    one_uses_it_first(ALTERNATING, true).await;
}

/// The old password is void as soon as the new one is set, so that another replica may need it.
#[tokio::test(flavor = "multi_thread")]
async fn one_replica_uses_a_new_password_before_awscurrent_moves() {
    one_uses_it_first(SINGLE, false).await;
}

/// Something breaks the new version while the canary uses it.
async fn it_is_taken_back(rotation: &str, breaks: impl AsyncFn(&Cluster)) {
    let pair = Pair::start(rotation).await;
    let before = pair.scene.labelled("AWSCURRENT").expect("a version");
    let (version, first, second) = pair.rotate().await;
    eventually("the canary uses it", SOON, || async {
        adopted(first, &version)
    })
    .await;
    breaks(&pair.scene.cluster).await;
    let tried = eventually("it is given up", SOON, || async { canary(first) }).await;
    assert_eq!(tried["outcome"], "failure", "{tried}");
    returned(first, &before).await;
    let labels = pair.scene.labels();
    assert_eq!(labels.get(&version), None, "{labels:?}");
    assert_eq!(adopted(second, &version), None, "nobody else used it");
    assert_unfinished(&[first, second], &version);
    let log = first.log();
    assert!(log.contains("did not serve here first"), "{log}");
    pair.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_that_fails_the_canary_reaches_nobody_else() {
    it_is_taken_back(ALTERNATING, async |cluster: &Cluster| {
        cluster.execute("ALTER ROLE app_user_clone NOLOGIN").await;
    })
    .await;
}

/// Three replicas with clients, two of which are canaries.
async fn three() -> (Pair, Proxy) {
    let two = ALTERNATING.replace("canary = 1", "canary = 2");
    let pair = Pair::start(&two).await;
    let more = format!("pool_size = 4\nserver_lifetime = \"1s\"\n{two}");
    let mut third = replicas(&pair.scene, 1, &more).remove(0);
    third.run();
    third.wait_ready().await;
    (pair, third)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_use_a_new_user_before_the_third_follows() {
    let (mut pair, third) = three().await;
    pair.loads.push(Load::start(&third.dsn("app")));
    let all = [&pair.scene.proxy, &pair.other, &third];
    let version = pair.ask().await;
    for proxy in all {
        proxy.wait_in_force("app", &version).await;
    }
    let finished = eventually("it is finished", SOON, || async {
        let steps = all
            .iter()
            .map(|p| at(p, "rotation.step", "finishSecret", &version));
        steps.flatten().next()
    })
    .await;
    let early = |proxy: &&&Proxy| {
        let adopted = adopted(proxy, &version).expect("adopted");
        adopted < finished - TimeDelta::seconds(1)
    };
    assert_eq!(all.iter().filter(early).count(), 2);
    let told: Vec<Value> = all.iter().filter_map(|proxy| canary(proxy)).collect();
    assert_eq!(told.len(), 1, "the one that rotates tells of it");
    let scene = pair.finish().await;
    assert_eq!(scene.labelled("AWSCURRENT").as_deref(), Some(&*version));
    scene.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_that_fails_the_second_canary_reaches_nobody_else() {
    let (pair, third) = three().await;
    let all = [&pair.scene.proxy, &pair.other, &third];
    let before = pair.scene.labelled("AWSCURRENT").expect("a version");
    let version = pair.ask().await;
    eventually("the second canary uses it", SOON, || async {
        let uses = all.iter().filter(|p| adopted(p, &version).is_some());
        (uses.count() == 2).then_some(())
    })
    .await;
    let cluster = &pair.scene.cluster;
    cluster.execute("ALTER ROLE app_user_clone NOLOGIN").await;
    // Only who logs in notices.
    let clients = all.map(|proxy| tokio::spawn(comes_again_and_again(proxy.port)));
    cluster
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app_user_clone'")
        .await;
    let tried = eventually("it is given up", SOON, || async {
        all.iter().find_map(|proxy| canary(proxy))
    })
    .await;
    clients.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(tried["outcome"], "failure", "{tried}");
    let uses = all.iter().filter(|p| adopted(p, &version).is_some());
    let uses: Vec<_> = uses.collect();
    assert_eq!(uses.len(), 2, "the third one never used it");
    for proxy in uses {
        returned(proxy, &before).await;
    }
    assert_unfinished(&all, &version);
    eventually("it has no label", SOON, || async {
        (!pair.scene.labels().contains_key(&version)).then_some(())
    })
    .await;
    pair.finish().await;
}

async fn comes_again_and_again(port: u16) {
    let dsn = format!("host=127.0.0.1 port={port} user=anyone dbname=app");
    loop {
        if let Ok(client) = connect(&dsn).await {
            let _ = client.batch_execute("select 1").await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A command that serves nobody leaves the canary to a replica.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_the_canary_of_a_command() {
    let mut scene = Scene::with(Cluster::start().await, "app_user", SINGLE).await;
    // Nobody is there.
    let output = scene.rotate(&[]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", errors(&output));
    assert!(said.contains("no other replica has tried it"), "{said}");
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    let output = scene.rotate(&[]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", errors(&output));
    assert!(said.contains("one other replica has used it"), "{said}");
    scene.assert_whole().await;
}

/// A store that tells its replicas nothing has room for the one that rotates.
#[tokio::test(flavor = "multi_thread")]
async fn check_says_where_several_canaries_are_not_possible() {
    let moto = Moto::start();
    let two = SINGLE.replace("canary = 1", "canary = 2");
    let check = async |more: &str| {
        let scene = Scene::in_moto(Cluster::start().await, &moto, more).await;
        let done = cli::pgvalet(&scene.proxy.config(), &["check"], "");
        let said = [done.stdout, done.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let said = check(&two).await;
    assert!(said.contains("canary = 2 } is not possible"), "{said}");
}

/// A password that somebody else sets meanwhile is undone: AWSCURRENT logs in again.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_that_fails_the_canary_is_taken_back() {
    let pair = Pair::start(SINGLE).await;
    let before = pair.scene.labelled("AWSCURRENT").expect("a version");
    let (version, first, second) = pair.rotate().await;
    eventually("the canary uses it", SOON, || async {
        adopted(first, &version)
    })
    .await;
    pair.scene
        .cluster
        .alter_password("app_user", &new_password())
        .await;
    let tried = eventually("it is given up", SOON, || async { canary(first) }).await;
    assert_eq!(tried["outcome"], "failure", "{tried}");
    returned(first, &before).await;
    assert_eq!(pair.scene.labels().get(&version), None);
    assert_unfinished(&[first, second], &version);
    let log = first.log();
    assert!(
        log.contains("has the password of AWSCURRENT again"),
        "{log}"
    );
    pair.finish().await;
}
