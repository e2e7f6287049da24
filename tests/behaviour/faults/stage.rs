//! Client – relay – pgvalet – relay – Postgres, and the proof that a fault leaves nothing
//! behind.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use super::talk::Talk;
use crate::common::relay::Relay;
use crate::common::{Cluster, Proxy, ProxyBuilder, eventually, new_password};

/// As long as a goodbye to a server may take that does not answer, and more.
const SOON: Duration = Duration::from_secs(30);

pub struct Stage {
    pub proxy: Proxy,
    /// Between clients and pgvalet.
    pub front: Relay,
    /// Between pgvalet and Postgres.
    pub back: Relay,
    pub cluster: Cluster,
    pub role: String,
    before: Held,
}

/// What a process holds without clients and server connections.
#[derive(Debug, Clone, Copy)]
struct Held {
    files: usize,
    tasks: usize,
}

impl Stage {
    /// `keys`: of the database.
    pub async fn with(keys: &str) -> Self {
        Self::with_listen(keys, "").await
    }

    pub async fn with_listen(keys: &str, listen: &str) -> Self {
        let cluster = Cluster::start().await;
        let back = Relay::to(cluster.port).await;
        let role = format!("r{}", &new_password()[3..11]);
        let password = new_password();
        cluster.create_role(&role, &password).await;
        cluster
            .execute("create table kept (n int); grant all on kept to public")
            .await;
        let secret = through(&back, &cluster.secret(&role, &password));
        Self::of(cluster, back, role, |builder| {
            builder
                .secret("app", &secret)
                .listen(listen)
                .database("app", &format!("secret = \"app\"\n{keys}"))
        })
        .await
    }

    async fn of(
        cluster: Cluster,
        back: Relay,
        role: String,
        build: impl FnOnce(ProxyBuilder) -> ProxyBuilder,
    ) -> Self {
        let proxy = build(Proxy::builder()).start().await;
        let front = Relay::to(proxy.port).await;
        let mut stage = Self {
            proxy,
            front,
            back,
            cluster,
            role,
            before: Held { files: 0, tasks: 0 },
        };
        // What is made once, for the first client.
        let mut first = Talk::begin(stage.front.port).await;
        assert!(first.query("select 1").await.is_answer());
        drop(first);
        stage.before = eventually("the first client is gone", SOON, || async {
            let idle = stage.rest().await.ok()?;
            Some(Held {
                files: stage.files() - idle,
                tasks: stage.tasks().await,
            })
        })
        .await;
        stage
    }

    /// A session by way of the relay.
    pub async fn client(&self) -> Talk {
        Talk::begin(self.front.port).await
    }

    /// The role has another password, and the secret the version for it.
    pub async fn rotate(&self) {
        let password = new_password();
        self.cluster.alter_password(&self.role, &password).await;
        let secret = through(&self.back, &self.cluster.secret(&self.role, &password));
        self.proxy.secret_put("app", &secret).await;
    }

    /// Whoever comes now is served.
    pub async fn serves(&self, after: &str) {
        let mut client = Talk::begin(self.proxy.port).await;
        let answer = client.query("select 1").await;
        assert!(
            answer.is_answer(),
            "after {after}: {answer:?}\n{}",
            self.proxy.log()
        );
    }

    /// Waits until there are no clients, and nothing goes on.
    pub async fn rests(&self) {
        eventually("it rests", SOON, || async { self.rest().await.ok() }).await;
    }

    /// Waits until no client, no lease, no transaction, no login and no task is left, and no
    /// descriptor but those of idle server connections.
    pub async fn nothing_is_left(&self, after: &str) {
        let deadline = std::time::Instant::now() + SOON;
        loop {
            let left = match self.rest().await {
                Err(left) => left,
                Ok(idle) => {
                    let (files, tasks) = (self.files(), self.tasks().await);
                    if files <= self.before.files + idle && tasks <= self.before.tasks {
                        return;
                    }
                    let before = self.before;
                    format!("{files} files with {idle} idle, {tasks} tasks; before {before:?}")
                }
            };
            assert!(
                std::time::Instant::now() < deadline,
                "{after} leaves: {left}\n{}",
                self.proxy.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The number of idle server connections; or else what is not at rest.
    async fn rest(&self) -> Result<usize, String> {
        let metric = async |name: &str, labels: &[&str]| {
            let value = self.proxy.metric(name, labels).await;
            value.unwrap_or_default() as usize
        };
        let state = async |state: &str| {
            let label = format!("state=\"{state}\"");
            metric("pgvalet_server_connections", &[&label]).await
        };
        let busy = [
            ("clients", metric("pgvalet_client_connections", &[]).await),
            ("waiting", metric("pgvalet_client_waiting", &[]).await),
            ("active", state("active").await),
            ("opening", state("opening").await),
        ];
        if busy.iter().any(|(_, n)| *n > 0) {
            return Err(format!("{busy:?}"));
        }
        let idle = state("idle").await;
        let backends = self.backends().await;
        let all_idle = backends.iter().all(|state| state == "idle");
        let relayed = self.back.open();
        if !all_idle || backends.len() != idle || relayed != idle {
            return Err(format!(
                "{idle} idle connections, {relayed} through the relay, backends {backends:?}"
            ));
        }
        Ok(idle)
    }

    /// What the sessions of the role do.
    pub async fn backends(&self) -> Vec<String> {
        let of_role = format!(
            "select coalesce(state, '?') from pg_stat_activity where usename = '{}'",
            self.role
        );
        self.cluster.superuser().await.column(&of_role).await
    }

    fn files(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.proxy.pid()));
        let files = files.expect("the files of the process").flatten();
        // The store keeps some connections for those that read at the same time.
        let is_of_store = |to: &std::path::Path| to.to_string_lossy().contains("store.db");
        let to = files.filter_map(|file| fs::read_link(file.path()).ok());
        to.filter(|to| !is_of_store(to)).count()
    }

    async fn tasks(&self) -> usize {
        let tasks = self.proxy.metric("pgvalet_tasks", &[]).await;
        tasks.expect("a metric") as usize
    }
}

/// A secret that leads to its server by way of a relay.
pub fn through(relay: &Relay, secret: &str) -> String {
    let mut value: Value = serde_json::from_str(secret).expect("JSON");
    value["port"] = relay.port.into();
    value.to_string()
}
