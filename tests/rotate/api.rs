//! RotateSecret and CancelRotateSecret of the embedded store, called with the
//! AWS SDK while proxies run: they drive the engine.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::types::RotationRulesType;
use chrono::{DateTime, TimeDelta, Utc};

use super::common::moto::sdk_config;
use super::common::{Cluster, Proxy, cli, eventually, free_port};
use super::scene::Scene;

/// The address and the access key by which a program calls a proxy's store.
pub struct Access {
    pub url: String,
    pub id: String,
    pub key: String,
}

/// Gives the store of a proxy an address, and somebody who may do anything there.
pub fn serve(proxy: &Proxy) -> Access {
    let everything = serde_json::json!({"Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    serve_as(proxy, "dba", &everything)
}

/// Gives the store an address, unless it has one, and somebody with this policy
/// an access key.
pub fn serve_as(proxy: &Proxy, name: &str, policy: &serde_json::Value) -> Access {
    let text = std::fs::read_to_string(proxy.config()).expect("the file");
    let served = text.split_once("[store]\naddress = \"127.0.0.1:");
    let served = served.and_then(|(_, rest)| rest.split('"').next()?.parse().ok());
    let port: u16 = served.unwrap_or_else(|| {
        let port = free_port();
        let address = format!("[store]\naddress = \"127.0.0.1:{port}\"\n");
        std::fs::write(proxy.config(), text.replace("[store]\n", &address)).expect("written");
        port
    });
    let file = proxy.directory().join(format!("policy-{name}.json"));
    std::fs::write(&file, policy.to_string()).expect("written");
    let policy = file.display().to_string();
    let args = ["store", "principal", "add", name, "--policy"];
    let args = [&args[..], &[&policy, "--json"]].concat();
    let keys = cli::pgvalet_ok(&proxy.config(), &args, "");
    let keys: serde_json::Value = serde_json::from_str(&keys).expect("JSON");
    let text = |name: &str| keys[name].as_str().expect("a key").to_owned();
    Access {
        url: format!("http://127.0.0.1:{port}"),
        id: text("access_key_id"),
        key: text("secret_access_key"),
    }
}

/// The SDK at the address of a proxy's store.
pub fn client(proxy: &Proxy) -> Client {
    client_of(&serve(proxy))
}

pub fn client_of(access: &Access) -> Client {
    let (id, key) = (access.id.as_str(), access.key.as_str());
    let credentials = aws_sdk_secretsmanager::config::Credentials::new(id, key, None, None, "test");
    let shared = sdk_config(&access.url);
    let config = aws_sdk_secretsmanager::config::Builder::from(&shared);
    Client::from_conf(config.credentials_provider(credentials).build())
}

/// Every version there is, with a label or without, by the time it was made.
pub async fn versions(client: &Client) -> Vec<f64> {
    let request = client.list_secret_version_ids().secret_id("app");
    let answer = request.include_deprecated(true).max_results(100);
    let answer = answer.send().await.expect("the versions");
    let mut made: Vec<f64> = answer
        .versions()
        .iter()
        .map(|v| v.created_date().expect("a date").as_secs_f64())
        .collect();
    made.sort_by(f64::total_cmp);
    made
}

/// How often the server was told to change the password of `app_user`.
pub fn changes(cluster: &Cluster) -> usize {
    cluster
        .log()
        .matches("ALTER ROLE \"app_user\" PASSWORD")
        .count()
}

pub async fn log_statements(cluster: &Cluster) {
    let sql = "ALTER SYSTEM SET log_statement = 'ddl'";
    cluster.execute(sql).await;
    cluster.execute("SELECT pg_reload_conf()").await;
}

/// The time of the next rotation, as `/status` has it.
async fn next_rotation(proxy: &Proxy) -> Option<DateTime<Utc>> {
    let status = proxy.status().await;
    let at = status["secrets"][0]["next_rotation"].as_str()?;
    Some(at.parse().expect("a time"))
}

async fn rotated(scene: &Scene, version: &str) {
    eventually("it is current", Duration::from_secs(20), || async {
        (scene.labelled("AWSCURRENT").as_deref() == Some(version)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotate_secret_is_done_by_the_proxy_until_it_is_cancelled() {
    let mut scene = Scene::with(Cluster::start().await, "app_user", "").await;
    let client = client(&scene.proxy);
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    assert_eq!(next_rotation(&scene.proxy).await, None);

    // At once, and from then on.
    let rules = |days| {
        let rules = RotationRulesType::builder();
        rules.automatically_after_days(days).build()
    };
    let old = scene.current();
    let answer = client.rotate_secret().secret_id("app");
    let answer = answer.rotation_rules(rules(30)).send().await;
    let version = answer.expect("accepted").version_id.expect("a version");
    rotated(&scene, &version).await;
    scene.proxy.wait_in_force("app", &version).await;
    scene.assert_whole().await;
    assert!(!scene.logs_in(&old).await);

    // Later: the rules change, and nothing else.
    let later = client.rotate_secret().secret_id("app");
    let later = later.rotation_rules(rules(10)).rotate_immediately(false);
    later.send().await.expect("accepted");
    let due = |days: i64| {
        let midnight = (Utc::now() + TimeDelta::days(days)).date_naive();
        let midnight = midnight.and_hms_opt(0, 0, 0).expect("a time").and_utc();
        midnight..midnight + TimeDelta::hours(12)
    };
    let wait_due = async |proxy: &Proxy, days| {
        eventually("the next rotation", Duration::from_secs(20), || async {
            let at = next_rotation(proxy).await?;
            // Midnight may pass while this runs.
            let days = [days - 1, days].map(due);
            days.iter().any(|d| d.contains(&at)).then_some(at)
        })
        .await
    };
    let at = wait_due(&scene.proxy, 10).await;
    assert_eq!(
        scene.labelled("AWSCURRENT").as_deref(),
        Some(version.as_str())
    );
    assert_eq!(versions(&client).await.len(), 2);

    // The rules are the store's: they survive the proxy.
    scene.proxy.signal(nix::sys::signal::Signal::SIGTERM);
    scene.proxy.wait_exit(Duration::from_secs(20)).await;
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    assert_eq!(wait_due(&scene.proxy, 10).await, at);
    let shown = cli::pgvalet_ok(&scene.proxy.config(), &["status", "--all"], "");
    let day = at.format("%Y-%m-%dT%H:%M").to_string();
    assert!(shown.contains(&day), "{day} is missing in:\n{shown}");

    // A value put by hand starts the time anew; cancelled, there is no next one.
    let cancel = client.cancel_rotate_secret().secret_id("app");
    cancel.send().await.expect("accepted");
    eventually("no next rotation", Duration::from_secs(20), || async {
        next_rotation(&scene.proxy).await.is_none().then_some(())
    })
    .await;
    assert_eq!(versions(&client).await.len(), 2);
    scene.assert_whole().await;
}

/// Rules that were saved in the store, and not in the configuration, come due
/// by themselves: the current version is older than they allow.
#[tokio::test(flavor = "multi_thread")]
async fn rules_of_the_store_come_due() {
    let mut scene = Scene::with(Cluster::start().await, "app_user", "").await;
    let client = client(&scene.proxy);
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    let rules = RotationRulesType::builder().automatically_after_days(30);
    let later = client.rotate_secret().secret_id("app");
    let later = later
        .rotation_rules(rules.build())
        .rotate_immediately(false);
    later.send().await.expect("accepted");
    let first = scene.labelled("AWSCURRENT");
    eventually("a next rotation", Duration::from_secs(20), || async {
        next_rotation(&scene.proxy).await
    })
    .await;
    scene.proxy.signal(nix::sys::signal::Signal::SIGTERM);
    scene.proxy.wait_exit(Duration::from_secs(20)).await;
    assert_eq!(scene.labelled("AWSCURRENT"), first, "not before its time");

    let file = scene.proxy.directory().join("store.db");
    let store = rusqlite::Connection::open(file).expect("the store");
    let month = 31 * 24 * 3600 * 1000_i64;
    let sql = "UPDATE version SET created = created - ?1";
    assert_eq!(store.execute(sql, [month]).expect("older"), 1);
    drop(store);
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    eventually("a rotation", Duration::from_secs(20), || async {
        (scene.labelled("AWSCURRENT") != first).then_some(())
    })
    .await;
    eventually("the next one", Duration::from_secs(20), || async {
        let at = next_rotation(&scene.proxy).await?;
        (at > Utc::now() + TimeDelta::days(28)).then_some(())
    })
    .await;
    scene.assert_whole().await;
}

/// A rotation that was cancelled before anybody did it is not done any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_cancelled_is_not_done() {
    let mut scene = Scene::with(Cluster::start().await, "app_user", "").await;
    let client = client(&scene.proxy);
    scene.proxy.run();
    scene.proxy.wait_ready().await;
    // While Postgres is away nobody can do it.
    let mut cluster = scene.cluster;
    cluster.stop();
    let before = scene.proxy.audit_of("rotation.step").len();
    let rules = RotationRulesType::builder().automatically_after_days(30);
    let asked = client.rotate_secret().secret_id("app");
    let asked = asked.rotation_rules(rules.build()).send().await;
    let version = asked.expect("accepted").version_id.expect("a version");
    eventually(
        "an attempt that failed",
        Duration::from_secs(20),
        || async {
            let steps = scene.proxy.audit_of("rotation.step");
            (steps.len() > before).then_some(())
        },
    )
    .await;
    let cancel = client.cancel_rotate_secret().secret_id("app");
    cancel.send().await.expect("accepted");
    cluster.run().await;
    let scene = Scene {
        cluster,
        proxy: scene.proxy,
    };
    eventually("clients work", Duration::from_secs(30), || async {
        let session = super::common::connect(&scene.proxy.dsn("app")).await.ok()?;
        session.simple_query("select 1").await.ok().map(|_| ())
    })
    .await;
    eventually("no next rotation", Duration::from_secs(20), || async {
        next_rotation(&scene.proxy).await.is_none().then_some(())
    })
    .await;
    assert!(scene.logs_in(&scene.current()).await);
    assert_ne!(scene.labelled("AWSCURRENT"), Some(version));
}
