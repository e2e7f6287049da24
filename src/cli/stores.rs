//! Which stores a command works with.

use super::{Failure, record, words};
use crate::audit::Audit;
use crate::base::nearest;
use crate::config::{Config, Store, StoreKind};
use crate::secret::{SecretId, Stores, store_title};
use crate::server;
use crate::vault;

/// The store that a command is about: the one that is named, or the default store, or the only
/// one that there is.
pub(super) fn chosen<'a, 'n>(
    config: &'a Config,
    name: Option<&'n str>,
) -> Result<(Option<&'n str>, &'a Store), Failure>
where
    'a: 'n,
{
    if let Some(store) = config.stores.named(name) {
        return Ok((name, store));
    }
    let names = config.stores.names();
    let names: Vec<&str> = names.iter().flatten().map(|name| &**name).collect();
    let mut all = config.stores.iter();
    match (name, all.next(), all.next()) {
        (Some(name), ..) => Err(Failure::Usage(no_store(config, name))),
        (None, Some((name, store)), None) => Ok((name.as_deref(), store)),
        (None, ..) => Err(Failure::Usage(format!(
            "there is no [store] beside those with names; say which with --store: {}",
            names.join(", ")
        ))),
    }
}

/// The store of a secret that the command line names, if it names one.
pub(super) fn of<'a>(
    config: &'a Config,
    store: Option<&'a str>,
    secret: Option<&str>,
) -> Result<(Option<String>, &'a Store), Failure> {
    if let Some(name) = secret.and_then(|text| unknown_store(config, text)) {
        return Err(Failure::Usage(no_store(config, name)));
    }
    let written = secret.map(|text| config.stores.secret(text));
    let in_name = written.as_ref().and_then(SecretId::store);
    let in_name = in_name.map(ToOwned::to_owned);
    if let (Some(said), Some(named)) = (store, &in_name)
        && said != named
    {
        return Err(Failure::Usage(format!(
            "--store says {said}, and the secret is of {named}; leave out one of them"
        )));
    }
    let asked = in_name.or_else(|| store.map(ToOwned::to_owned));
    // One that is not named may be the only one, which has a name.
    let (name, found) = chosen(config, asked.as_deref())?;
    let name = name.map(ToOwned::to_owned);
    Ok((name, found))
}

/// The name of a store that there is not, in front of the name of a secret: names of secrets have
/// no colons, and ARNs begin with theirs.
fn unknown_store<'t>(config: &Config, text: &'t str) -> Option<&'t str> {
    let (name, _) = text.split_once(':')?;
    let known = name == "arn" || config.stores.named(Some(name)).is_some();
    (!known).then_some(name)
}

/// What there is instead of a store with this name.
fn no_store(config: &Config, name: &str) -> String {
    let names = config.stores.names();
    let known = names.iter().flatten().map(|name| &**name);
    let meant = nearest(name, known);
    let titles: Vec<String> = names.iter().map(|n| store_title(n.as_deref())).collect();
    let titles = match &titles[..] {
        [only] => format!("the only store is {only}"),
        _ => format!("the stores are {}", words::list(&titles)),
    };
    let end = meant.map_or_else(
        || format!("; {titles}"),
        |m| format!("; did you mean {m:?}? ({titles})"),
    );
    format!("there is no [store.{name}]{end}")
}

/// Whether there is a store to read from. Opening an embedded store would make it, and its
/// key, which nobody wants of a command that reads.
pub(super) fn exists(name: Option<&str>, store: &Store) -> Result<(), Failure> {
    match &store.kind {
        StoreKind::Embedded { path, .. } => {
            if vault::exists(path).map_err(|e| Failure::Failed(e.to_string()))? {
                return Ok(());
            }
            let option = name.map_or_else(String::new, |name| format!(" --store {name}"));
            Err(Failure::Failed(format!(
                "there is no store at {path} yet; `pgvalet secret create NAME{option}` makes it"
            )))
        }
        _ => Ok(()),
    }
}

/// Whether there are stores for these secrets.
pub(super) fn exist(config: &Config, secrets: &[SecretId]) -> Result<(), Failure> {
    for secret in secrets {
        match config.stores.of(secret) {
            Some(store) => exists(secret.store(), store)?,
            None => {
                let title = store_title(secret.store());
                let message = format!("{secret}: there is no {title} in the configuration");
                return Err(Failure::Usage(message));
            }
        }
    }
    Ok(())
}

/// Opens the stores that there are; each of these secrets has to be in one of them.
pub(super) async fn open(
    config: &Config,
    secrets: &[SecretId],
    audit: Option<&Audit>,
) -> Result<Stores, Failure> {
    exist(config, secrets)?;
    let there = config.stores.only(|store| exists(None, store).is_ok());
    let opened = server::open_stores(&there, &record::trail(audit)).await;
    opened.map_err(|e| Failure::Failed(e.to_string()))
}

/// The secrets that the configuration uses, each once.
pub(super) fn used(config: &Config) -> Vec<SecretId> {
    let mut used: Vec<SecretId> = config.uses().into_iter().map(|(_, s)| s).collect();
    used.sort();
    used.dedup();
    used
}
