//! A cluster, a store, and `pgvalet rotate`.

use std::process::Output;

use serde_json::Value;

use super::common::moto::Moto;
use super::common::{Cluster, Proxy, cli, connect, new_password};

pub struct Scene {
    pub cluster: Cluster,
    pub proxy: Proxy,
}

impl Scene {
    /// The role `app_user` with its secret `app` for database `app`; nothing
    /// runs but Postgres.
    pub async fn new(cluster: Cluster) -> Self {
        Self::with(cluster, "app_user", "").await
    }

    /// A scene with another role, and more lines for `[database.app]`.
    pub async fn with(cluster: Cluster, role: &str, more: &str) -> Self {
        let password = new_password();
        let name = role.replace('"', "\"\"");
        cluster.create_role(&name, &password).await;
        let proxy = Proxy::with_one_database(&cluster.secret(role, &password), more).prepare();
        Self { cluster, proxy }
    }

    /// A scene whose store is moto's Secrets Manager.
    pub async fn in_moto(cluster: Cluster, moto: &Moto, more: &str) -> Self {
        let password = new_password();
        cluster.create_role("app_user", &password).await;
        let proxy = Proxy::builder()
            .aws(&moto.url, "1s")
            .secret("app", &cluster.secret("app_user", &password))
            .database("app", &format!("secret = \"app\"\n{more}"))
            .prepare();
        Self { cluster, proxy }
    }

    /// A scene whose store is reached by the AWS SDK, but is the embedded one of
    /// another proxy, which runs.
    pub async fn in_served(cluster: Cluster, more: &str) -> (Self, Proxy) {
        let password = new_password();
        cluster.create_role("app_user", &password).await;
        let secret = cluster.secret("app_user", &password);
        let mut serving = Proxy::with_one_database(&secret, "").prepare();
        let access = super::api::serve(&serving);
        serving.run();
        serving.wait_ready().await;
        let body = format!("secret = \"app\"\n{more}");
        let mut builder = Proxy::builder()
            .aws(&access.url, "1s")
            .database("app", &body);
        let mut lines = String::new();
        for ((name, _), value) in cli::AWS.into_iter().zip([&access.id, &access.key]) {
            builder = builder.environment(name, value);
            lines += &format!("{name}={value}\n");
        }
        let proxy = builder.prepare();
        let file = proxy.directory().join("aws.env");
        std::fs::write(file, lines).expect("the credentials");
        (Self { cluster, proxy }, serving)
    }

    /// A role that may change others and is no superuser, and its secret `admin`.
    pub async fn admin(&self) {
        let password = new_password();
        self.cluster
            .execute(&format!(
                "CREATE ROLE rotator LOGIN CREATEROLE PASSWORD '{password}'"
            ))
            .await;
        if self.cluster.binaries.major >= 16 {
            // Before 16 CREATEROLE alone reaches every role.
            self.cluster
                .execute("GRANT app_user TO rotator WITH ADMIN OPTION, INHERIT FALSE, SET FALSE")
                .await;
        }
        let value = self.cluster.secret("rotator", &password);
        self.proxy.secret_create("admin", &value);
    }

    pub async fn rotate(&self, more: &[&str]) -> Output {
        let config = self.proxy.config();
        let args: Vec<String> = ["rotate", "app"]
            .iter()
            .chain(more)
            .map(ToString::to_string)
            .collect();
        // Elsewhere, so that clients under test go on meanwhile.
        tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            cli::pgvalet(&config, &args, "")
        })
        .await
        .expect("the command ran")
    }

    /// A rotation that must succeed: the version that is current then.
    pub async fn rotate_ok(&self, more: &[&str]) -> String {
        let output = self.rotate(more).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}\n{}", errors(&output));
        self.current();
        said.lines().last().unwrap_or_default().to_owned()
    }

    /// A rotation that must fail: what it said.
    pub async fn rotate_fails(&self, more: &[&str]) -> String {
        let output = self.rotate(more).await;
        assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
        errors(&output)
    }

    pub fn value(&self, args: &[&str]) -> Option<Value> {
        let args = [&["secret", "get", "app", "--reveal"], args].concat();
        let output = cli::pgvalet(&self.proxy.config(), &args, "");
        let text = String::from_utf8(output.stdout).expect("text");
        self.proxy.watch_for(&text);
        serde_json::from_str(&text).ok()
    }

    /// The content of AWSCURRENT.
    pub fn current(&self) -> Value {
        self.value(&[]).expect("a current version")
    }

    /// Version → labels.
    pub fn labels(&self) -> serde_json::Map<String, Value> {
        let args = ["secret", "describe", "app", "--json"];
        let text = cli::pgvalet_ok(&self.proxy.config(), &args, "");
        let json: Value = serde_json::from_str(&text).expect("JSON");
        json["VersionIdsToStages"]
            .as_object()
            .expect("a map")
            .clone()
    }

    /// The version that has a label.
    pub fn labelled(&self, label: &str) -> Option<String> {
        let has = |labels: &Value| labels.as_array().is_some_and(|l| l.contains(&label.into()));
        let labels = self.labels();
        let found = labels.iter().find(|(_, labels)| has(labels));
        found.map(|(version, _)| version.clone())
    }

    /// A version made by hand.
    pub fn put(&self, value: &str, more: &[&str]) -> String {
        self.proxy.watch_for(value);
        let args = [&["secret", "put", "app"], more].concat();
        let said = cli::pgvalet_ok(&self.proxy.config(), &args, value);
        said.lines().last().unwrap_or_default().trim().to_owned()
    }

    pub async fn logs_in(&self, value: &Value) -> bool {
        let text = |key: &str| {
            let text = value[key].as_str().expect("text");
            text.replace('\\', "\\\\").replace('\'', "\\'")
        };
        let dsn = format!(
            "host=127.0.0.1 port={} dbname=postgres user='{}' password='{}'",
            self.cluster.port,
            text("username"),
            text("password")
        );
        connect(&dsn).await.is_ok()
    }

    /// The records of rotations, whichever file they went to.
    pub fn steps(&self) -> Vec<(String, String)> {
        let query = ["audit", "query", "--event", "rotation.step", "--json"];
        let found = cli::pgvalet_ok(&self.proxy.config(), &query, "");
        let record = |line: &str| serde_json::from_str(line).expect("JSON");
        let records: Vec<Value> = found.lines().map(record).collect();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        records
            .iter()
            .map(|r| (text(&r["step"]), text(&r["outcome"])))
            .collect()
    }

    /// Checks what must hold after every rotation that ended.
    pub async fn assert_whole(&self) {
        let mut labels: Vec<Vec<String>> = Vec::new();
        for list in self.labels().values() {
            let mut list: Vec<String> = serde_json::from_value(list.clone()).expect("texts");
            list.sort();
            labels.push(list);
        }
        labels.sort();
        // Older rotations left AWSPENDING on the version that is current.
        let pending = ["AWSCURRENT".to_owned(), "AWSPENDING".to_owned()];
        if let Some(current) = labels.iter_mut().find(|l| **l == pending) {
            current.pop();
        }
        assert_eq!(labels, [["AWSCURRENT"], ["AWSPREVIOUS"]]);
        assert!(self.logs_in(&self.current()).await, "AWSCURRENT logs in");
    }
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
