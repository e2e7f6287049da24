//! The promise: a password rotates under load, in either order, again and
//! again, and no client sees any of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::rotate;
use crate::common::raw::Raw;
use crate::common::sampler::Sampler;
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

const CLIENTS: usize = 32;
const ROTATIONS: usize = 20;

/// Clients at work until they are told to stop; each error stops its client.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<(), tokio_postgres::Error>>>,
}

impl Load {
    /// `stay` of the clients keep their connection, the others come and go.
    fn start(dsn: &str, stay: usize) -> Self {
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let clients = (0..CLIENTS)
            .map(|n| {
                let (stop, done, dsn) = (stop.clone(), done.clone(), dsn.to_owned());
                tokio::spawn(async move {
                    while !stop.load(Relaxed) {
                        let session = connect(&dsn).await?;
                        let statement = session.prepare("select $1::int4 + 1").await?;
                        for i in 0..5_i32 {
                            session.simple_query("begin; select 1; commit").await?;
                            let row = session.query_one(&statement, &[&i]).await?;
                            assert_eq!(row.get::<_, i32>(0), i + 1);
                            done.fetch_add(1, Relaxed);
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                        while n < stay && !stop.load(Relaxed) {
                            session.query_one(&statement, &[&1]).await?;
                            done.fetch_add(1, Relaxed);
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                        session.close().await;
                    }
                    Ok(())
                })
            })
            .collect();
        Self {
            stop,
            done,
            clients,
        }
    }

    async fn finish(self) -> (u64, Vec<String>) {
        self.stop.store(true, Relaxed);
        let mut errors = Vec::new();
        for client in join_all(self.clients).await {
            if let Err(error) = client.expect("no client panicked") {
                errors.push(format!("{error:?}"));
            }
        }
        (self.done.load(Relaxed), errors)
    }
}

async fn used_versions(proxy: &Proxy) -> BTreeSet<String> {
    let uses = proxy.audit_of("credential.use");
    for record in &uses {
        assert_eq!(record["client"], "api", "{record}");
        assert!(record["session"].is_string(), "{record}");
    }
    uses.iter()
        .filter_map(|r| Some(r["credential"]["version"].as_str()?.to_owned()))
        .collect()
}

async fn rotations_under_load(mode: &str, pool_size: usize, stay: usize) {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    // A short life: new logins all the time, so also in every window.
    let more = format!("pool_mode = \"{mode}\"\npool_size = {pool_size}\nserver_lifetime = \"1s\"");
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &password), &more)
        .start()
        .await;
    let sampler = Sampler::start(&cluster).await;
    let load = Load::start(&proxy.dsn("app"), stay);

    let mut versions = BTreeSet::new();
    let mut changed_at = String::new();
    for n in 0..ROTATIONS {
        let (version, before) = rotate(&cluster, &proxy, n % 2 == 0).await;
        proxy.wait_in_force("app", &version).await;
        eventually(
            "a client works on the new version",
            Duration::from_secs(20),
            || async { used_versions(&proxy).await.contains(&version).then_some(()) },
        )
        .await;
        versions.insert(version);
        changed_at = before;
    }

    if mode == "transaction" {
        let old = format!(
            "select count(*) from pg_stat_activity where usename = 'app_user' and backend_start < '{changed_at}'"
        );
        let admin = cluster.superuser().await;
        eventually(
            "no login with an older version is left",
            Duration::from_secs(20),
            || async { (admin.value(&old).await == "0").then_some(()) },
        )
        .await;
    }
    let (transactions, errors) = load.finish().await;
    assert!(
        errors.is_empty(),
        "{} clients failed: {errors:#?}",
        errors.len()
    );
    assert!(
        transactions > 1000,
        "only {transactions} transactions prove nothing"
    );
    let most = sampler.most().await;
    assert!(
        most as usize <= pool_size,
        "{most} server connections, {pool_size} allowed"
    );

    assert!(versions.is_subset(&used_versions(&proxy).await));
    let adopted = proxy
        .metric("pgvalet_adoptions_total", &["outcome=\"ok\""])
        .await;
    assert!(adopted >= Some(ROTATIONS as f64), "{adopted:?}");
    proxy.assert_no_leak().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_rotations_in_transaction_mode() {
    rotations_under_load("transaction", 8, CLIENTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_rotations_in_session_mode() {
    rotations_under_load("session", 40, CLIENTS / 2).await;
}

/// The value that ParameterStatus tells a client that has just logged in.
async fn startup_parameter(proxy: &Proxy, name: &str) -> String {
    let mut raw = Raw::open(proxy).await;
    raw.start_up().await;
    let told = raw.until(b'Z').await;
    let told = told.iter().filter(|(tag, _)| *tag == b'S');
    let told = told.map(|(_, body)| String::from_utf8_lossy(body).into_owned());
    let value = |text: String| {
        let value = text.strip_prefix(name)?.strip_prefix('\0')?;
        Some(value.trim_end_matches('\0').to_owned())
    };
    told.filter_map(value).next().expect("reported")
}

/// The pool must follow the secret where two users take turns, not the user name.
#[tokio::test(flavor = "multi_thread")]
async fn alternating_users() {
    let cluster = Cluster::start().await;
    let (first, second) = (new_password(), new_password());
    cluster.create_role("app_user", &first).await;
    cluster.create_role("app_user_clone", &second).await;
    let proxy = Proxy::with_one_database(&cluster.secret("app_user", &first), "pool_size = 4")
        .start()
        .await;
    let load = Load::start(&proxy.dsn("app"), CLIENTS);
    let session = proxy.connect("app").await;
    assert_eq!(session.value("select current_user").await, "app_user");
    let users = ["app_user_clone", "app_user", "app_user_clone"];
    for (drained, user) in (1..).zip(users) {
        proxy.rotate(&cluster, user).await;
        eventually(
            "the same session works as the new user",
            Duration::from_secs(20),
            || async { (session.value("select current_user").await == user).then_some(()) },
        )
        .await;
        // A new generation takes over one connection at a time.
        eventually(
            "the old one has drained",
            Duration::from_secs(20),
            || async { (proxy.audit_of("drain.end").len() == drained).then_some(()) },
        )
        .await;
        // A new client is told the new name, not what an earlier one was told.
        let newcomer = proxy.connect("app").await;
        assert_eq!(newcomer.value("select session_user").await, user);
        let told = startup_parameter(&proxy, "session_authorization").await;
        assert_eq!(told, user);
    }
    let (_, errors) = load.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
}

/// A secret that never comes true must not take the service down.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_new_version_is_not_adopted() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let proxy = Proxy::with_one_database(
        &cluster.secret("app_user", &password),
        "server_lifetime = \"1s\"",
    )
    .start()
    .await;
    let load = Load::start(&proxy.dsn("app"), CLIENTS);
    let wrong = new_password();
    let version = proxy
        .secret_put("app", &cluster.secret("app_user", &wrong))
        .await;
    eventually(
        "the failure is counted",
        Duration::from_secs(20),
        || async {
            let failed = proxy
                .metric("pgvalet_adoptions_total", &["outcome=\"failed\""])
                .await;
            (failed > Some(0.0)).then_some(())
        },
    )
    .await;
    // Server connections live for a second: clients go on with new ones.
    let logins = || proxy.audit_of("server.open").len();
    let before = logins();
    eventually("new logins", Duration::from_secs(20), || async {
        (logins() >= before + 20).then_some(())
    })
    .await;
    assert!(!used_versions(&proxy).await.contains(&version));
    // The correction is seen, though the version in force works and nobody
    // fails: it is not the wrong one that is tried again and again.
    let right = new_password();
    cluster.create_role("app_user_clone", &right).await;
    let right = cluster.secret("app_user_clone", &right);
    let right = proxy.secret_put("app", &right).await;
    proxy.wait_in_force("app", &right).await;
    let (_, errors) = load.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    assert!(!used_versions(&proxy).await.contains(&version));
}
