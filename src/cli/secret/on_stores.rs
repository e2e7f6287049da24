//! A command about secrets, on the store that it means.

use super::{SecretArgs, SecretCommand, run};
use crate::cli::{Failure, record, stores};
use crate::config::{Config, Store};
use crate::secret::SecretId;
use crate::server;

/// Opens the store and the audit log for a command about secrets, and runs it.
pub(in crate::cli) async fn on_stores(args: &SecretArgs, config: &Config) -> Result<(), Failure> {
    use SecretCommand::{Create, List, Random};
    let command = &args.command;
    let asked = args.store.as_deref();
    let all = matches!(command, List { .. }) && asked.is_none() && config.stores.are_several();
    if all {
        return list_all(command, config).await;
    }
    let (name, store) = stores::of(config, asked, command.name())?;
    if !matches!(command, Create(_) | Random(_)) {
        stores::exists(name.as_deref(), store)?;
    }
    let audit = match store.kind.embedded() {
        Some(_) => record::open(config, "cli", "the command")?,
        // Another store keeps a trail of its own.
        None => None,
    };
    let trail = record::trail(audit.as_ref()).of_store(name.as_deref().map(Into::into));
    let opened = server::open_store_with(store, trail).await;
    let (store, _) = opened.map_err(|e| Failure::Failed(e.to_string()))?;
    let id = command.name().map(|text| {
        let id = config.stores.secret(text);
        SecretId::of_store(name.as_deref(), id.within())
    });
    let done = run(command.clone(), id, &*store).await;
    drop(store);
    if let Some(audit) = audit {
        audit.close().await;
    }
    Ok(done?)
}

/// Lists the secrets of all stores, each behind the name of its store.
async fn list_all(command: &SecretCommand, config: &Config) -> Result<(), Failure> {
    let is_embedded = |(_, s): (&_, &Store)| s.kind.embedded().is_some();
    let audit = match config.stores.iter().any(is_embedded) {
        true => record::open(config, "cli", "the command")?,
        false => None,
    };
    let opened = stores::open(config, &[], audit.as_ref()).await?;
    let done = super::list_all(command, &opened).await;
    drop(opened);
    if let Some(audit) = audit {
        audit.close().await;
    }
    Ok(done?)
}
