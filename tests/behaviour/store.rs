//! The API of the embedded store, by the programs that speak it: boto3 and the
//! AWS CLI. The same functions run against moto, to show that they speak the
//! real API.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::common::cli::{PGVALET, pgvalet, pgvalet_ok};
use super::common::moto::Moto;
use super::common::{end, repository, tethered, venv};

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
        let config = directory.path().join("store.toml");
        let base = directory.path().display();
        let text = format!(
            "[store]\npath = \"{base}/store.db\"\nkey_file = \"{base}/store.key\"\n\
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
