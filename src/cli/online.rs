//! The part of `pgvalet check` that asks: does the store answer, does each
//! credential log in.

use std::io::Write;
use std::sync::Arc;

use super::{Failure, record};
use crate::config::{Config, StoreKind};
use crate::pool::Database;
use crate::secret::{AWSPENDING, Credential, SecretId, SecretStore, StoreError, Which};
use crate::server;
use crate::upstream::{self, KeyCache, Target};

/// Tries every (database, secret) that a rule can lead to. Changes nothing.
pub(super) async fn online(config: &Config, out: &mut dyn Write) -> Result<(), Failure> {
    if let StoreKind::Embedded { path, .. } = &config.store.kind
        && !path.exists()
    {
        // Opening would make it.
        return Err(Failure::Failed(format!(
            "there is no store at {} yet; `pgvalet secret create NAME` makes it",
            path.display()
        )));
    }
    let audit = record::open(config, "cli", "the check")?;
    let opened = server::open_store_with(&config.store, record::trail(audit.as_ref())).await;
    let (store, _) = opened.map_err(|e| Failure::Failed(e.to_string()))?;
    let asked = ask(config, &store, out).await;
    drop(store);
    if let Some(audit) = audit {
        audit.close().await;
    }
    asked
}

async fn ask(
    config: &Config,
    store: &Arc<dyn SecretStore>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut failed = false;
    for (database, secret) in config.uses() {
        match login(store, &database, &secret).await {
            Ok(what) => {
                writeln!(out, "ok       {}: {what}", database.name)?;
                if let Some(why) = pending_denied(store, &secret).await {
                    let name = &database.name;
                    writeln!(out, "warning  {name}: {why}")?;
                }
            }
            Err(why) => {
                failed = true;
                writeln!(out, "FAILED   {}: {why}", database.name)?;
            }
        }
    }
    if failed { Err(Failure::Shown) } else { Ok(()) }
}

/// Whether AWSPENDING could be read if there were one. Without it a rotation
/// that has changed the password, and not yet moved AWSCURRENT, keeps clients
/// waiting.
async fn pending_denied(store: &Arc<dyn SecretStore>, secret: &SecretId) -> Option<String> {
    let pending = Which::Stage(AWSPENDING.to_owned());
    match store.get(secret, &pending).await {
        Err(StoreError::Denied(why)) => Some(format!(
            "AWSPENDING of secret \"{secret}\" may not be read ({why}); allow secretsmanager:GetSecretValue for every stage, or clients wait in the middle of a rotation"
        )),
        _ => None,
    }
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
    let target =
        Arc::new(Target::resolve(&database.upstream, &credential).map_err(|e| e.to_string())?);
    let server = upstream::connect(
        &target,
        &credential,
        &KeyCache::default(),
        database.upstream.connect_timeout,
    )
    .await
    .map_err(|e| e.to_string())?;
    let said = format!(
        "secret \"{secret}\", version {}, logs in to {target} as \"{}\" ({}, {})",
        credential.version,
        credential.username,
        server.mechanism,
        server.tls_version().unwrap_or("no TLS")
    );
    server.close().await;
    Ok(said)
}
