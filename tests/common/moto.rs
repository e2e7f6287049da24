//! A stand-in for AWS Secrets Manager: moto's server on loopback.

use std::collections::HashMap;
use std::process::{Child, Stdio};
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};

use super::{end, eventually, free_port, http, tethered, venv};

pub const REGION: &str = "eu-central-1";

/// What any client of it must have in its environment.
pub fn environment() -> HashMap<&'static str, &'static str> {
    HashMap::from([
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_REGION", REGION),
    ])
}

pub struct Moto {
    child: Child,
    pub port: u16,
}

impl Moto {
    pub async fn start() -> Self {
        let port = free_port();
        let child = tethered(venv("moto_server"), "KILL", None)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server starts");
        let moto = Self { child, port };
        eventually("moto answers", Duration::from_secs(60), || async {
            http::get(port, "/moto-api/")
                .await
                .filter(|(code, _)| *code == 200)
        })
        .await;
        moto
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn client(&self) -> Client {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new("testing", "testing", None, None, "test"))
            .endpoint_url(self.endpoint())
            .build();
        Client::from_conf(config)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        end(
            &mut self.child,
            nix::sys::signal::Signal::SIGTERM,
            Duration::from_secs(2),
        );
    }
}
