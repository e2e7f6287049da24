//! A rotation with everything else going wrong as well: the store down or slow,
//! a wrong password published, another host, two proxies on one secret.

use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;

use crate::common::client::told;
use crate::common::ledger::{self, Habit, Ledger};
use crate::common::moto::Moto;
use crate::common::setup::orders_in_aws;
use crate::common::valve::{State, Valve};
use crate::common::{Cluster, Proxy, connect, eventually, new_password};

const SECRET: &str = "prod/orders";
const PATIENCE: Duration = Duration::from_secs(60);
const HABITS: [Habit; 4] = [
    Habit::Stays,
    Habit::Stays,
    Habit::ComesAndGoes,
    Habit::ComesAndGoes,
];

struct World {
    cluster: Cluster,
    store: Client,
    valve: Valve,
    proxies: Vec<Proxy>,
    load: Vec<Ledger>,
    password: String,
    _moto: Moto,
}

impl World {
    async fn new(more: &str) -> Self {
        let (cluster, moto) = (Cluster::start().await, Moto::start());
        let valve = Valve::before(&moto.url).await;
        let store = moto.secrets();
        let password = new_password();
        cluster.create_role("app_user", &password).await;
        ledger::create(&cluster).await;
        let value = cluster.secret("app_user", &password);
        let created = store.create_secret().name(SECRET).secret_string(value);
        created.send().await.expect("created");
        let more = format!("pool_size = 4\nserver_lifetime = \"1s\"\n{more}");
        let mut proxies = Vec::new();
        for _ in 0..2 {
            let proxy = orders_in_aws(&valve.url, "1s", &more).start().await;
            proxy.watch_for(&cluster.secret("app_user", &password));
            proxies.push(proxy);
        }
        Self {
            cluster,
            store,
            valve,
            proxies,
            load: Vec::new(),
            password,
            _moto: moto,
        }
    }

    fn start_load(&mut self) {
        for (n, proxy) in self.proxies.iter().enumerate() {
            let first = i32::try_from(n).expect("few") * 100;
            let dsn = proxy.dsn("orders");
            self.load
                .push(Ledger::start(&dsn, "orders", first, &HABITS));
        }
    }

    async fn put(&mut self, stage: &str, value: &str) -> String {
        for proxy in &self.proxies {
            proxy.watch_for(value);
        }
        let put = self.store.put_secret_value().secret_id(SECRET);
        let put = put.secret_string(value).version_stages(stage).send().await;
        put.expect("put").version_id().expect("an id").to_owned()
    }

    /// A new AWSCURRENT. (Not by PutSecretValue: once a label was moved, moto
    /// leaves AWSCURRENT on the version before as well.)
    async fn publish(&mut self, value: &str) -> String {
        let version = self.put("AWSPENDING", value).await;
        self.promote(&version).await;
        version
    }

    async fn promote(&self, version: &str) {
        let described = self.store.describe_secret().secret_id(SECRET).send().await;
        let described = described.expect("described");
        let stages = described.version_ids_to_stages().expect("stages");
        let is_current = |labels: &&Vec<String>| labels.iter().any(|l| l == "AWSCURRENT");
        let current = stages.iter().find(|(_, labels)| is_current(labels));
        let (current, _) = current.expect("a current one");
        let moved = self.store.update_secret_version_stage().secret_id(SECRET);
        let moved = moved
            .version_stage("AWSCURRENT")
            .move_to_version_id(version)
            .remove_from_version_id(current);
        moved.send().await.expect("promoted");
        // As AWS does by itself.
        let stripped = self.store.update_secret_version_stage().secret_id(SECRET);
        let stripped = stripped
            .version_stage("AWSPENDING")
            .remove_from_version_id(version);
        stripped.send().await.expect("stripped");
    }

    /// Every client goes on, for so long and through so many transactions.
    async fn goes_on(&self, what: &str, length: Duration) {
        let progress = || {
            self.load
                .iter()
                .flat_map(Ledger::progress)
                .collect::<Vec<_>>()
        };
        let before = progress();
        tokio::time::sleep(length).await;
        eventually(what, PATIENCE, || async {
            let broken = self.load.iter().any(Ledger::broken);
            let worked = progress().iter().zip(&before).all(|(n, b)| *n >= b + 8);
            (broken || worked).then_some(())
        })
        .await;
    }

    async fn in_force(&self, version: &str) {
        for proxy in &self.proxies {
            // A look at a slow store takes several answers.
            eventually("the version is in force", PATIENCE, || async {
                let status = proxy.status().await;
                (status["secrets"][0]["version"] == version).then_some(())
            })
            .await;
        }
    }

    async fn close(self) {
        for load in self.load {
            load.close(&self.cluster)
                .await
                .unwrap_or_else(|wrong| panic!("{wrong}"));
        }
        for proxy in &self.proxies {
            proxy.assert_no_leak().await;
        }
    }
}

/// Clients see no error as long as one version works.
async fn trouble(outage: Duration, delay: Duration) {
    let mut world = World::new("").await;
    world.start_load();
    world.goes_on("before anything", Duration::ZERO).await;

    // The store goes away when Postgres has the new password already.
    let password = new_password();
    let value = world.cluster.secret("app_user", &password);
    let pending = world.put("AWSPENDING", &value).await;
    world.valve.set(State::Shut);
    world.cluster.alter_password("app_user", &password).await;
    tokio::time::sleep(outage).await;
    world.valve.set(State::Open);
    world.in_force(&pending).await;
    world.promote(&pending).await;
    world.goes_on("after the outage", Duration::ZERO).await;

    // It answers, but late; the label comes first.
    world.valve.set(State::Slow(delay));
    let password = new_password();
    let value = world.cluster.secret("app_user", &password);
    let version = world.publish(&value).await;
    world.goes_on("the store is slow", delay).await;
    world.cluster.alter_password("app_user", &password).await;
    world.in_force(&version).await;
    world.goes_on("adopted from a slow store", delay).await;
    world.valve.set(State::Open);

    // A password that nobody knows is published, and then the right one.
    let value = world.cluster.secret("app_user", &new_password());
    world.publish(&value).await;
    world
        .goes_on("a wrong password", Duration::from_secs(2))
        .await;
    let right = new_password();
    world.cluster.alter_password("app_user", &right).await;
    let value = world.cluster.secret("app_user", &right);
    let version = world.publish(&value).await;
    world.in_force(&version).await;
    world.goes_on("corrected", Duration::ZERO).await;
    world.password = right;

    // The database moves: the same server by another name.
    let value = world.cluster.secret("app_user", &world.password);
    let mut value: serde_json::Value = serde_json::from_str(&value).expect("JSON");
    value["host"] = "localhost".into();
    let version = world.publish(&value.to_string()).await;
    world.in_force(&version).await;
    world.goes_on("at another host", Duration::ZERO).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_trouble_troubles_no_client() {
    trouble(Duration::from_secs(3), Duration::from_millis(700)).await;
}

/// `make chaos`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn a_store_in_trouble_at_length() {
    trouble(Duration::from_secs(60), Duration::from_secs(5)).await;
}

/// Clients are told that no version works after the grace, with the name of the
/// secret and what to do; and all is well soon after the correction.
#[tokio::test(flavor = "multi_thread")]
async fn where_no_version_works_clients_are_told_and_recover() {
    let mut world = World::new("rotation_grace = \"2s\"").await;
    world
        .cluster
        .alter_password("app_user", &new_password())
        .await;
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app_user'";
    world.cluster.execute(kill).await;
    let ask = async |proxy: &Proxy| match connect(&proxy.dsn("orders")).await {
        Ok(session) => session.simple_query("select 1").await.map(|_| ()),
        Err(error) => Err(error),
    };
    for proxy in &world.proxies {
        // The first ones may be told of the server that closed on them.
        let error = eventually("told after the grace", PATIENCE, || async {
            let error = ask(proxy).await.err()?;
            let told = error.as_db_error().is_some().then(|| told(&error))?;
            (told.0 == "57P03").then_some(told)
        })
        .await;
        let (_, message, _, hint) = error;
        let said = format!("{message} {}", hint.unwrap_or_default());
        assert!(said.contains(SECRET), "{said}");
        assert!(!said.contains("password authentication failed"), "{said}");
    }
    // The breaker is open: the next attempt by itself is half a minute away.
    let right = new_password();
    world.cluster.alter_password("app_user", &right).await;
    let value = world.cluster.secret("app_user", &right);
    world.publish(&value).await;
    let corrected = Instant::now();
    for proxy in &world.proxies {
        eventually("recovered", Duration::from_secs(20), || async {
            ask(proxy).await.ok()
        })
        .await;
    }
    eprintln!("recovered in {} ms", corrected.elapsed().as_millis());
    world.close().await;
}
