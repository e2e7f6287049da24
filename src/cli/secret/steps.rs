//! What each command does with the store; each gives the text to print.

use std::time::SystemTime;

use super::arguments::{Create, Delete, Get, Put, Stage};
use super::{Io, SecretCommandError, output, value, versions};
use crate::base::suggestion;
use crate::secret::{
    Credential, Deletion, Manage, NewSecret, Rotatable, SecretId, SecretValue, Source, StoreError,
    VersionId, Which, unread_field,
};

pub(super) async fn create(
    args: Create,
    id: &SecretId,
    store: &dyn Manage,
    io: &mut Io<'_>,
) -> Result<String, SecretCommandError> {
    let value = value::read(args.file.as_deref(), io)?;
    usable(id, &value, args.any)?;
    let secret = NewSecret {
        name: id.within().to_owned(),
        description: args.description,
        value,
        token: None,
    };
    let version = store.create(secret).await?;
    Ok(format!("{version}\n"))
}

pub(super) async fn put(
    args: Put,
    id: &SecretId,
    store: &dyn Rotatable,
    io: &mut Io<'_>,
) -> Result<String, SecretCommandError> {
    let value = value::read(args.file.as_deref(), io)?;
    usable(id, &value, args.any)?;
    let token = args.token.map(VersionId::new);
    let version = store.put(id, value, args.stage, token).await?;
    Ok(format!("{version}\n"))
}

pub(super) async fn get(
    args: Get,
    id: &SecretId,
    store: &dyn Source,
) -> Result<SecretValue, SecretCommandError> {
    let which = match args.version {
        Some(version) => Which::Version(versions::find(store, id, &version).await?),
        None => Which::Stage(args.stage),
    };
    match (store.get(id, &which).await, which) {
        (Err(error @ StoreError::NotFound(_)), Which::Stage(stage)) => {
            Err(no_stage(id, stage, store).await.unwrap_or(error.into()))
        }
        (got, _) => Ok(got?),
    }
}

/// That a secret has no version with this label; `None` if there is no such secret.
async fn no_stage(id: &SecretId, stage: String, store: &dyn Source) -> Option<SecretCommandError> {
    let description = store.describe(id).await.ok()?;
    let labels = description.versions.values().flatten();
    let end = suggestion(&stage, labels.map(String::as_str));
    Some(SecretCommandError::NoStage {
        id: id.clone(),
        stage,
        end,
    })
}

pub(super) async fn describe(
    id: &SecretId,
    all: bool,
    json: bool,
    store: &dyn Source,
) -> Result<String, SecretCommandError> {
    let mut description = store.describe(id).await?;
    if all {
        for version in store.versions(id).await? {
            description.versions.entry(version).or_default();
        }
    }
    Ok(match json {
        true => output::describe_json(&description),
        false => output::describe(&description),
    })
}

pub(super) async fn stage(
    args: Stage,
    id: &SecretId,
    store: &dyn Rotatable,
) -> Result<String, SecretCommandError> {
    let to = match &args.to {
        Some(to) => Some(versions::find(store, id, to).await?),
        None => None,
    };
    let from = match &args.from {
        Some(from) => Some(versions::find(store, id, from).await?),
        // Whichever has it; the store refuses if that changes meanwhile.
        None => {
            let description = store.describe(id).await?;
            description.version_with(&args.label).cloned()
        }
    };
    let from = from.filter(|from| to.as_ref() != Some(from));
    let moved = store.move_label(id, &args.label, to.clone(), from.clone());
    moved.await?;
    Ok(match (to, from) {
        (Some(to), _) => format!("{id}: {} is on {to}\n", args.label),
        (None, Some(from)) => format!("{id}: {} is removed from {from}\n", args.label),
        (None, None) => String::new(),
    })
}

pub(super) async fn delete(
    args: Delete,
    id: &SecretId,
    store: &dyn Manage,
) -> Result<String, SecretCommandError> {
    let how = match args.now {
        true => Deletion::Now,
        false => Deletion::Window {
            days: args.recovery_window,
        },
    };
    Ok(match (args.now, store.delete(id, how).await?) {
        (false, Some(at)) => {
            let at = output::time(at);
            format!("{id} will be gone at {at}; until then it can be restored\n")
        }
        _ => format!("{id} is deleted\n"),
    })
}

pub(super) async fn restore(
    id: &SecretId,
    store: &dyn Manage,
) -> Result<String, SecretCommandError> {
    store.restore(id).await?;
    Ok(format!("{id} is restored\n"))
}

/// Whether the proxy could log in with a value; with `any`, a secret may hold anything.
fn usable(id: &SecretId, value: &str, any: bool) -> Result<(), SecretCommandError> {
    let candidate = SecretValue {
        arn: id.as_str().into(),
        name: id.as_str().into(),
        version: VersionId::new(""),
        stages: Vec::new(),
        created: None::<SystemTime>,
        value: zeroize::Zeroizing::new(value.to_owned()),
    };
    let problem = Credential::parse(id, &candidate).err();
    match problem.or_else(|| unread_field(value)) {
        Some(problem) if !any => Err(SecretCommandError::Useless {
            id: id.clone(),
            problem: problem.to_string(),
        }),
        _ => Ok(()),
    }
}
