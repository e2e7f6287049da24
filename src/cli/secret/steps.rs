//! What each command does with the store; each gives the text to print.

use std::time::SystemTime;

use super::arguments::{Create, Delete, Get, Put, Stage};
use super::{Io, SecretCommandError, output, value};
use crate::secret::{
    Credential, Deletion, Manage, NewSecret, Rotatable, SecretId, SecretValue, Source, VersionId,
    Which,
};

pub(super) async fn create(
    args: Create,
    store: &dyn Manage,
    io: &mut Io<'_>,
) -> Result<String, SecretCommandError> {
    let value = value::read(args.file.as_deref(), io)?;
    let warning = warning(&SecretId::new(args.name.as_str()), &value);
    let secret = NewSecret {
        name: args.name,
        description: args.description,
        value,
        token: None,
    };
    let version = store.create(secret).await?;
    warn(io, warning)?;
    Ok(format!("{version}\n"))
}

pub(super) async fn put(
    args: Put,
    store: &dyn Rotatable,
    io: &mut Io<'_>,
) -> Result<String, SecretCommandError> {
    let value = value::read(args.file.as_deref(), io)?;
    let id = SecretId::new(args.name);
    let warning = warning(&id, &value);
    let token = args.token.map(VersionId::new);
    let version = store.put(&id, value, args.stage, token).await?;
    warn(io, warning)?;
    Ok(format!("{version}\n"))
}

pub(super) async fn get(args: Get, store: &dyn Source) -> Result<SecretValue, SecretCommandError> {
    let which = match args.version {
        Some(version) => Which::Version(VersionId::new(version)),
        None => Which::Stage(args.stage),
    };
    Ok(store.get(&SecretId::new(args.name), &which).await?)
}

pub(super) async fn describe(
    name: String,
    json: bool,
    store: &dyn Source,
) -> Result<String, SecretCommandError> {
    let description = store.describe(&SecretId::new(name)).await?;
    Ok(match json {
        true => output::describe_json(&description),
        false => output::describe(&description),
    })
}

pub(super) async fn stage(
    args: Stage,
    store: &dyn Rotatable,
) -> Result<String, SecretCommandError> {
    let id = SecretId::new(args.name);
    let to = args.to.map(VersionId::new);
    let from = args.from.map(VersionId::new);
    let moved = store.move_label(&id, &args.label, to.clone(), from.clone());
    moved.await?;
    Ok(match (to, from) {
        (Some(to), _) => format!("{id}: {} is on {to}\n", args.label),
        (None, Some(from)) => format!("{id}: {} is removed from {from}\n", args.label),
        (None, None) => String::new(),
    })
}

pub(super) async fn delete(args: Delete, store: &dyn Manage) -> Result<String, SecretCommandError> {
    let id = SecretId::new(args.name);
    let how = match args.now {
        true => Deletion::Now,
        false => Deletion::Window {
            days: args.recovery_window,
        },
    };
    Ok(match (args.now, store.delete(&id, how).await?) {
        (false, Some(at)) => {
            let at = output::time(at);
            format!("{id} will be gone at {at}; until then it can be restored\n")
        }
        _ => format!("{id} is deleted\n"),
    })
}

pub(super) async fn restore(
    name: String,
    store: &dyn Manage,
) -> Result<String, SecretCommandError> {
    let id = SecretId::new(name);
    store.restore(&id).await?;
    Ok(format!("{id} is restored\n"))
}

/// What to tell of a value that the proxy could not log in with. It is no error,
/// because a secret may hold anything.
fn warning(id: &SecretId, value: &str) -> Option<String> {
    let candidate = SecretValue {
        arn: id.as_str().into(),
        name: id.as_str().into(),
        version: VersionId::new(""),
        stages: Vec::new(),
        created: None::<SystemTime>,
        value: zeroize::Zeroizing::new(value.to_owned()),
    };
    let problem = Credential::parse(id, &candidate).err()?;
    Some(format!(
        "warning: {id} is stored, but pgvalet cannot log in with it: {problem}\n"
    ))
}

fn warn(io: &mut Io<'_>, warning: Option<String>) -> Result<(), SecretCommandError> {
    match warning {
        Some(text) => io
            .err
            .write_all(text.as_bytes())
            .map_err(SecretCommandError::Write),
        None => Ok(()),
    }
}
