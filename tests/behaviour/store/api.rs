//! The API of the embedded store, by the programs that speak it: boto3 and the
//! AWS CLI. The same functions run against moto, to show that they speak the
//! real API.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::common::cli::{PGVALET, pgvalet, pgvalet_ok};
use crate::common::moto::Moto;
use crate::common::{
    Cluster, Proxy, end, eventually, free_port, new_password, repository, tethered, venv,
};

const SECRETS: &str = "arn:aws:secretsmanager:local:000000000000:secret";

/// `pgvalet store serve` with principals of its own.
struct Store {
    directory: tempfile::TempDir,
    server: Child,
    url: String,
    keys: Value,
}

impl Store {
    fn start(more: &str, principals: &[(&str, Value)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("store.db").display().to_string();
        Self::at(directory, &path, more, principals)
    }

    fn at(
        directory: tempfile::TempDir,
        path: &str,
        more: &str,
        principals: &[(&str, Value)],
    ) -> Self {
        let config = directory.path().join("store.toml");
        let base = directory.path().display();
        let text = format!(
            "[store]\npath = \"{path}\"\nkey_file = \"{base}/store.key\"\n\
             address = \"127.0.0.1:0\"\n{more}\n[audit]\npath = \"{base}/audit.jsonl\"\n"
        );
        fs::write(&config, text).expect("the configuration");
        let mut keys = json!({});
        for (name, policy) in principals {
            let file = directory.path().join(format!("{name}.json"));
            fs::write(&file, policy.to_string()).expect("the policy");
            let file = file.to_str().expect("text");
            let arguments = ["store", "principal", "add", name, "--policy", file];
            let more = ["--tag", "team=blue", "--json"];
            let key = pgvalet_ok(&config, &[&arguments[..], &more[..]].concat(), "");
            keys[*name] = serde_json::from_str(&key).expect("JSON");
        }
        let mut server = tethered(PGVALET, "KILL", None)
            .args(["store", "serve", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("pgvalet starts");
        let mut url = String::new();
        let out = server.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut url).expect("its URL");
        assert!(url.starts_with("http"), "it ended");
        Self {
            directory,
            server,
            url: url.trim().to_owned(),
            keys,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The proxy's own tests scan their logs; this one's is scanned by a test.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |path: PathBuf| path.display().to_string();
        vec![
            ("STORE_KIND", "pgvalet".into()),
            ("STORE_URL", self.url.clone()),
            ("STORE_KEYS", self.keys.to_string()),
            ("STORE_CONFIG", text(self.path("store.toml"))),
            ("STORE_AUDIT", text(self.path("audit.jsonl"))),
            ("PGVALET", PGVALET.into()),
        ]
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        end(&mut self.server, Signal::SIGTERM, Duration::from_secs(5));
    }
}

fn allow(statements: &[(Value, &str)]) -> Value {
    let statements: Vec<Value> = statements
        .iter()
        .map(
            |(action, resource)| json!({"Effect": "Allow", "Action": action, "Resource": resource}),
        )
        .collect();
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn principals() -> [(&'static str, Value); 3] {
    let get = json!("secretsmanager:GetSecretValue");
    let nothing = format!("{SECRETS}:nothing-??????");
    let shared = format!("{SECRETS}:shared/*");
    let batch = json!("secretsmanager:BatchGetSecretValue");
    let shared_actions = json!([
        "secretsmanager:GetSecretValue",
        "secretsmanager:CreateSecret"
    ]);
    [
        ("admin", allow(&[(json!("secretsmanager:*"), "*")])),
        ("nobody", allow(&[(get, &nothing)])),
        ("reader", allow(&[(shared_actions, &shared), (batch, "*")])),
    ]
}

fn pytest(directory: &Path, environment: &[(&str, String)]) {
    let output = Command::new(venv("pytest"))
        .args(["-q", "-p", "no:cacheprovider"])
        .arg(directory)
        .current_dir(repository().join("tests/python"))
        .envs(environment.iter().map(|(k, v)| (k, v)))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .expect("pytest starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn tests() -> PathBuf {
    repository().join("tests/python/store")
}

#[test]
fn boto3_and_the_aws_cli_find_a_secrets_manager() {
    let store = Store::start("", &principals());
    pytest(&tests(), &store.environment());
    let verified = pgvalet(&store.path("store.toml"), &["audit", "verify"], "");
    assert!(verified.status.success(), "{verified:?}");
}

/// The same of a store on PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_programs_find_one_on_postgres() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("keeper", &password).await;
    cluster
        .execute("CREATE DATABASE secrets OWNER keeper")
        .await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("passwords");
    fs::write(&file, format!("*:*:*:keeper:{password}\n")).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    let url = format!(
        "postgres://keeper@127.0.0.1:{}/secrets?passfile={}",
        cluster.port,
        file.display()
    );
    let test = tokio::task::spawn_blocking(move || {
        let store = Store::at(directory, &url, "", &principals());
        pytest(&tests(), &store.environment());
        let verified = pgvalet(&store.path("store.toml"), &["audit", "verify"], "");
        assert!(verified.status.success(), "{verified:?}");
    });
    test.await.expect("the tests pass");
}

/// Marks in the tests say where moto does otherwise; each of these must fail.
#[test]
fn the_same_programs_find_one_in_moto() {
    let moto = Moto::start();
    let environment = [
        ("STORE_KIND", "moto".to_owned()),
        ("STORE_URL", moto.url.clone()),
    ];
    pytest(&tests(), &environment);
}

/// The proxy serves its store over TLS, and follows what one of the SDKs writes
/// there.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_serves_its_store_over_tls_and_follows_what_is_put_there() {
    let cluster = Cluster::start().await;
    let (old, new) = (new_password(), new_password());
    cluster.create_role("app_user", &old).await;
    let tls = tempfile::tempdir().expect("a directory");
    let names = vec!["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let (certificate, key) = (tls.path().join("c.pem"), tls.path().join("k.pem"));
    fs::write(&certificate, made.cert.pem()).expect("written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    // A key that everybody can read is refused.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a mode");
    let port = free_port();
    let base = tls.path().display();
    let proxy = Proxy::builder()
        .store(&format!(
            "path = \"{base}/store.db\"\nkey_file = \"{base}/store.key\"\n\
             address = \"127.0.0.1:{port}\"\n\
             tls_certificate = \"{}\"\ntls_key = \"{}\"",
            certificate.display(),
            key.display()
        ))
        .secret("app", &cluster.secret("app_user", &old))
        .database("app", "secret = \"app\"")
        .start()
        .await;
    let policy = tls.path().join("admin.json");
    let (_, document) = &principals()[0];
    fs::write(&policy, document.to_string()).expect("written");
    let policy = policy.to_str().expect("text");
    let arguments = [
        "store",
        "principal",
        "add",
        "admin",
        "--policy",
        policy,
        "--json",
    ];
    let keys = pgvalet_ok(&proxy.config(), &arguments, "");
    let keys: Value = serde_json::from_str(&keys).expect("JSON");

    cluster.alter_password("app_user", &new).await;
    let value = cluster.secret("app_user", &new);
    proxy.watch_for(&value);
    let program = "import boto3, sys; print(boto3.client('secretsmanager', region_name='eu-west-1')\
                   .put_secret_value(SecretId='app', SecretString=sys.stdin.read())['VersionId'])";
    let mut child = Command::new(venv("python"))
        .args(["-c", program])
        .env("AWS_ENDPOINT_URL", format!("https://localhost:{port}"))
        .env("AWS_CA_BUNDLE", &certificate)
        .env(
            "AWS_ACCESS_KEY_ID",
            keys["access_key_id"].as_str().expect("text"),
        )
        .env(
            "AWS_SECRET_ACCESS_KEY",
            keys["secret_access_key"].as_str().expect("text"),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(value.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("Python ends");
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    proxy.wait_in_force("app", &version).await;
    proxy.connect("app").await.value("select 1").await;

    // Another certificate is shown as soon as it is there.
    let names = vec!["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    fs::write(&certificate, made.cert.pem()).expect("written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let list =
        "import boto3; boto3.client('secretsmanager', region_name='eu-west-1').list_secrets()";
    eventually("the new certificate", Duration::from_secs(30), || async {
        let status = Command::new(venv("python"))
            .args(["-c", list])
            .env("AWS_ENDPOINT_URL", format!("https://localhost:{port}"))
            .env("AWS_CA_BUNDLE", &certificate)
            .env("AWS_ACCESS_KEY_ID", keys["access_key_id"].as_str()?)
            .env("AWS_SECRET_ACCESS_KEY", keys["secret_access_key"].as_str()?)
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|s| s.success()).then_some(())
    })
    .await;

    let calls = proxy.audit_of("store.call");
    let put = calls
        .iter()
        .find(|r| r["call"]["eventName"] == "PutSecretValue");
    assert_eq!(put.expect("recorded")["identity"]["subject"], "admin");
    let own = |r: &&Value| r["call"]["userIdentity"]["type"] == "AWSService";
    assert!(
        calls.iter().any(|r| own(&r)),
        "pgvalet's own reads are recorded too"
    );
    proxy.assert_no_leak().await;
}

/// A role that may not read AWSPENDING serves until a rotation stops in the
/// middle: that is said before, by `check` and at the start. And what looking
/// costs.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_read_awspending_is_told_so() {
    let cluster = Cluster::start().await;
    let password = new_password();
    cluster.create_role("app_user", &password).await;
    let most = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*" },
        {
            "Effect": "Deny",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "*",
            "Condition": { "ForAnyValue:StringEquals": { "secretsmanager:VersionStage": "AWSPENDING" } }
        },
    ]});
    let store = Store::start("", &[("proxy", most)]);
    let value = cluster.secret("app_user", &password);
    pgvalet_ok(
        &store.path("store.toml"),
        &["secret", "create", "app"],
        &value,
    );
    let key = |name: &str| store.keys["proxy"][name].as_str().expect("text").to_owned();
    let credentials = [
        ("AWS_ACCESS_KEY_ID", key("access_key_id")),
        ("AWS_SECRET_ACCESS_KEY", key("secret_access_key")),
    ];
    let of_aws = format!(
        "kind = \"aws\"\nregion = \"eu-west-1\"\nendpoint_url = \"{}\"",
        store.url
    );
    let mut builder = Proxy::builder()
        .store(&of_aws)
        .database("app", "secret = \"app\"");
    for (name, value) in &credentials {
        builder = builder.environment(name, value);
    }
    let proxy = builder.start().await;
    proxy.watch_for(&value);
    eventually("the log says so", Duration::from_secs(20), || async {
        proxy
            .log()
            .contains("AWSPENDING may not be read")
            .then_some(())
    })
    .await;
    let checked = Command::new(PGVALET)
        .args(["check", "--config"])
        .arg(proxy.config())
        .envs(credentials)
        .output()
        .expect("pgvalet starts");
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{said}");
    assert!(
        said.contains("warning  app: AWSPENDING of secret \"app\" may not be read"),
        "{said}"
    );
    assert!(
        said.contains("cost     1 secret looked up every 1m: about 43800 calls a month"),
        "{said}"
    );
    proxy.assert_no_leak().await;
}
