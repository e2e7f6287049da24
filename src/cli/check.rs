//! `pgvalet check`: is the file right, does the store answer, does each
//! credential log in.

use std::path::Path;
use std::sync::Arc;

use super::Failure;
use crate::config::{self, Config, Database, ListenAddress, PoolMode, StoreKind};
use crate::net::tls;
use crate::secret::{self, Credential, SecretId, SecretStore, Which};
use crate::upstream::{self, KeyCache, Target};

pub async fn check(path: &Path, config: &Config, offline: bool) -> Result<(), Failure> {
    println!("{}: right in form", path.display());
    describe(config);
    for warning in config::warnings(config) {
        println!("warning: {warning}");
    }
    let mut failed = files(config);
    if !offline {
        failed += online(config).await;
    }
    if failed > 0 {
        Err(Failure::Check(failed))
    } else {
        Ok(())
    }
}

fn describe(config: &Config) {
    for address in &config.listen.addresses {
        match address {
            ListenAddress::Tcp { host, port } => println!("listens on {host}:{port}"),
            ListenAddress::Unix { directory, port } => {
                println!("listens on {}/.s.PGSQL.{port}", directory.display());
            }
        }
    }
    for database in config.databases.values() {
        let mode = match database.pool_mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
        };
        println!(
            "database {}: secret \"{}\", {mode} mode, at most {} server connections",
            database.name, database.secret, database.pool_size
        );
    }
    for client in &config.clients {
        println!(
            "client {} (rule {}): may use {}",
            client.name,
            client.rule,
            client.databases.join(", ")
        );
    }
}

/// Files that the configuration names.
fn files(config: &Config) -> usize {
    let mut failed = 0;
    if let config::ListenTls::Allow { certificate, key }
    | config::ListenTls::Require { certificate, key } = &config.listen.tls
        && let Err(e) = tls::for_clients(certificate, key)
    {
        println!("FAILED  [listen] {e}");
        failed += 1;
    }
    failed
}

/// Every (database, secret) that a rule can lead to.
async fn online(config: &Config) -> usize {
    if let StoreKind::Embedded { path, .. } = &config.store.kind
        && !path.exists()
    {
        // Opening would make it, and a check changes nothing.
        println!(
            "FAILED  there is no store at {} yet: `pgvalet secret create NAME` makes it",
            path.display()
        );
        return 1;
    }
    let store = match secret::open(&config.store).await {
        Ok(store) => store,
        Err(e) => {
            println!("FAILED  store: {e}");
            return 1;
        }
    };
    let mut failed = 0;
    for (database, secret) in config.uses() {
        match login(&store, &database, &secret).await {
            Ok(what) => println!("ok      database {}: {what}", database.name),
            Err(why) => {
                failed += 1;
                println!("FAILED  database {}: {why}", database.name);
            }
        }
    }
    failed
}

async fn login(
    store: &Arc<dyn SecretStore>,
    database: &Database,
    secret: &SecretId,
) -> Result<String, String> {
    let value = store
        .get(secret, &Which::current())
        .await
        .map_err(|e| e.to_string())?;
    let credential = Credential::parse(secret, &value)
        .map_err(|e| format!("version {} of secret \"{secret}\": {e}", value.version))?;
    let target = Arc::new(Target::resolve(database, &credential).map_err(|e| e.to_string())?);
    let server = upstream::connect(
        &target,
        &credential,
        &KeyCache::default(),
        database.connect_timeout,
    )
    .await
    .map_err(|e| e.to_string())?;
    let tls = server.stream.tls_version().unwrap_or("no TLS");
    let said = format!(
        "secret \"{secret}\" version {} logs in to {target} as \"{}\" ({}, {tls})",
        credential.version, credential.username, server.mechanism
    );
    server.close().await;
    Ok(said)
}
