//! A Secrets Manager of somebody else's making to test against: moto.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_secretsmanager::config::{Credentials, SharedCredentialsProvider};

/// A running server; it ends when dropped.
pub struct Moto {
    server: Child,
    pub url: String,
}

/// The program, on PATH or where `make test` installs it.
fn binary() -> PathBuf {
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/venv/bin/moto_server");
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(local)
        .chain(std::env::split_paths(&path).map(|directory| directory.join("moto_server")))
        .find(|candidate| candidate.is_file())
        .expect("moto_server is neither in .cache/venv/bin nor on PATH; run `make test`, which installs it")
}

impl Moto {
    /// Starts a server on a port of its own and waits until it has told which.
    pub fn start() -> Self {
        let mut server = Command::new(binary())
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto_server starts");
        let log = BufReader::new(server.stderr.take().expect("piped"));
        let (told, url) = mpsc::channel();
        // Reads to the end, so that the server never waits for its log to be read.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("Running on ") {
                    let _ = told.send(url.trim().to_owned());
                }
            }
        });
        let url = url.recv_timeout(Duration::from_secs(60));
        let mut moto = Self {
            server,
            url: String::new(),
        };
        match url {
            Ok(url) => moto.url = url,
            Err(_) => panic!("moto_server did not say within a minute where it listens"),
        }
        moto
    }

    /// A client for its Secrets Manager.
    #[allow(dead_code)]
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.sdk_config())
    }

    /// For the AWS SDK, with credentials that moto does not look at.
    #[allow(dead_code)]
    pub fn sdk_config(&self) -> SdkConfig {
        sdk_config(&self.url)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A configuration with one attempt that may take a while: for servers of tests.
pub fn sdk_config(url: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(Duration::from_secs(30))
                .build(),
        )
        .build()
}
