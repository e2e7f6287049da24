//! The secret, and the proxy as a configuration file makes it.

use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use zeroize::Zeroizing;

use super::cluster::{Cluster, DATABASE, ROLE};
use super::{DemoError, free_port};
use crate::config::{self, Config};
use crate::secret::NewSecret;
use crate::server::open_stores;
use crate::vault::api::Trail;

pub const SECRET: &str = "demo/shop";
/// Databases as clients ask for them: one of each pool mode, over one secret.
pub const ORDERS: &str = "orders";
pub const REPORTS: &str = "reports";

/// Where clients and people find the proxy.
#[derive(Debug, Clone)]
pub struct Endpoints {
    pub port: u16,
    pub admin_port: u16,
    /// Directory of the unix socket.
    pub socket: PathBuf,
    pub audit: PathBuf,
}

impl Endpoints {
    /// Two free ports, and the rest in the directory of the demo.
    pub fn choose(scratch: &Path) -> Result<Self, DemoError> {
        Ok(Self {
            port: free_port()?,
            admin_port: free_port()?,
            socket: scratch.to_owned(),
            audit: scratch.join("audit.jsonl"),
        })
    }
}

/// Makes the application's secret with its first, random password, known to
/// nobody but the store and (as a verifier) Postgres.
pub async fn make_secret(cluster: &Cluster, config: &Config) -> Result<(), DemoError> {
    let stores = open_stores(&config.stores, &Trail::default()).await?;
    let store = stores.named(None)?;
    let password = store
        .rotatable()?
        .random_password(Default::default())
        .await?;
    cluster.furnish(&password).await?;
    store
        .manage()?
        .create(NewSecret {
            name: SECRET.to_owned(),
            description: Some("The password of pgvalet demo's throwaway Postgres".to_owned()),
            value: value(cluster.port, &password),
            token: None,
        })
        .await?;
    Ok(())
}

/// The value of the secret, in the JSON form of RDS secrets.
pub fn value(port: u16, password: &str) -> Zeroizing<String> {
    let value = serde_json::json!({
        "engine": "postgres",
        "host": "127.0.0.1",
        "port": port,
        "dbname": DATABASE,
        "username": ROLE,
        "password": password,
    });
    Zeroizing::new(value.to_string())
}

/// The configuration of the proxy. Two of its clients are known by where they
/// come from, one by who the kernel says it is.
pub fn config(scratch: &Path, endpoints: &Endpoints) -> Result<Config, DemoError> {
    let Endpoints {
        port, admin_port, ..
    } = endpoints;
    let socket = quoted(&format!("unix:{}", endpoints.socket.display()));
    let file = |path: &Path| quoted(&path.display().to_string());
    let (store, key) = (scratch.join("store.db"), scratch.join("store.key"));
    let (store, key, audit) = (file(&store), file(&key), file(&endpoints.audit));
    let user = geteuid();
    let text = format!(
        r#"
[listen]
address = ["127.0.0.1:{port}", {socket}]
socket_mode = "0600"
max_clients = 1000
shutdown_timeout = "3s"

[admin]
address = "127.0.0.1:{admin_port}"

[store]
path = {store}
key_file = {key}

[audit]
path = {audit}

[database.{ORDERS}]
secret = "{SECRET}"
pool_size = 10
pool_wait_timeout = "30s"

[database.{REPORTS}]
secret = "{SECRET}"
pool_mode = "session"
pool_size = 10
pool_wait_timeout = "30s"

[[client]]
name = "settlement"
unix_user = {user}
databases = ["{ORDERS}"]

[[client]]
name = "orders-api"
network = ["127.0.0.0/8"]
databases = ["{ORDERS}"]

[[client]]
name = "reporting"
network = ["127.0.0.0/8"]
databases = ["{REPORTS}"]
"#
    );
    Ok(config::parse(&text, Path::new("the demo's configuration"))?)
}

/// Text in quotes: what JSON escapes, TOML reads the same way.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_valid() {
        let scratch = Path::new("/tmp/it's a \"demo\"");
        let endpoints = Endpoints::choose(scratch).expect("free ports");
        let config = config(scratch, &endpoints).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(config.databases.len(), 2);
        assert_eq!(config.clients.len(), 3);
        assert_eq!(config::warnings(&config), Vec::<String>::new());
    }
}
