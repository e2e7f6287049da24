//! A store that is served, and a client of the SDK that may do everything.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};

use crate::cli::PGVALET;
use crate::place::Place;

pub struct Served {
    server: Child,
    url: String,
    key: serde_json::Value,
}

impl Served {
    pub fn start(place: &Place) -> Self {
        let text = fs::read_to_string(place.config()).unwrap();
        let text = text.replace("[store]\n", "[store]\naddress = \"127.0.0.1:0\"\n");
        fs::write(place.config(), text).unwrap();
        let policy = place.path("policy.json");
        let all = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
        fs::write(&policy, all).unwrap();
        let policy = policy.to_str().unwrap();
        let add = [
            "store",
            "principal",
            "add",
            "p",
            "--policy",
            policy,
            "--json",
        ];
        let key = serde_json::from_str(&place.ok(&add, "")).unwrap();
        let mut server = Command::new(PGVALET)
            .arg("--config")
            .arg(place.config())
            .args(["store", "serve"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let out = server.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut url).unwrap();
        Self {
            server,
            url: url.trim().to_owned(),
            key,
        }
    }

    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> &str {
        self.url.strip_prefix("http://").expect("a URL")
    }

    pub fn access_key(&self) -> &str {
        self.key["access_key_id"].as_str().expect("a key")
    }

    pub fn client(&self) -> Client {
        let word = |name: &str| self.key[name].as_str().unwrap().to_owned();
        let credentials = Credentials::new(
            word("access_key_id"),
            word("secret_access_key"),
            None,
            None,
            "test",
        );
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("local"))
            .endpoint_url(&self.url)
            .credentials_provider(credentials)
            .retry_config(RetryConfig::disabled())
            .build();
        Client::from_conf(config)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
