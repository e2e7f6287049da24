//! Logins to the server: passwords, and what a client reads when there is none.

mod failures;
mod first;
mod passwords;

use std::sync::Arc;
use std::time::Duration;

use pgvalet::secret::{Credential, Password, SecretId, UpstreamAuth, VersionId};
use pgvalet::upstream::{ConnectError, LoginCache, Options, Server, Target, connect};

use crate::common::Cluster;

/// Where and how a database leads, from the lines of its table.
pub fn options(lines: &str) -> Options {
    let text = format!(
        "[database.d]\nsecret = \"s\"\n{lines}\n[[client]]\nname = \"c\"\nnetwork = \"::1\"\ndatabases = \"d\"\n"
    );
    let config = pgvalet::config::parse(&text, "f".as_ref()).expect("a configuration");
    Options::clone(&config.databases["d"].upstream)
}

/// One login, as the pools make it.
pub async fn log_in(
    cluster: &Cluster,
    options: &Options,
    user: &str,
    password: &str,
) -> Result<Server, ConnectError> {
    let credential = Credential {
        secret: SecretId::new("s"),
        arn: "arn:s".into(),
        version: VersionId::new("v"),
        stages: Vec::new(),
        host: Some("127.0.0.1".to_owned()),
        port: Some(cluster.port),
        dbname: Some("postgres".to_owned()),
        username: user.to_owned(),
        password: Password::new(password.to_owned()),
        auth: UpstreamAuth::Password,
        fetched_at: std::time::SystemTime::now(),
    };
    let target = Target::resolve(options, &credential).expect("a target");
    let (cache, limit) = (LoginCache::default(), Duration::from_secs(30));
    connect(&Arc::new(target), &credential, &cache, limit).await
}
