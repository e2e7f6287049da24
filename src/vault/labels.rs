//! Staging labels: which version is AWSCURRENT, AWSPENDING or AWSPREVIOUS, or has
//! a label that a user has chosen.

use super::secrets::{self, Secret};
use super::tx::Tx;
use super::{VaultError, versions};
use crate::secret::{AWSCURRENT, AWSPENDING, AWSPREVIOUS};

/// How many labels one version may carry.
const LABEL_LIMIT: i64 = 20;
/// Characters of a label.
const NAME_LIMIT: usize = 256;

pub fn check_name(label: &str) -> Result<(), VaultError> {
    if label.is_empty() || label.chars().count() > NAME_LIMIT {
        return Err(VaultError::InvalidParameter(format!(
            "Invalid staging label. It must have between 1 and {NAME_LIMIT} characters."
        )));
    }
    Ok(())
}

/// The version that carries the label.
pub fn holder(tx: &Tx<'_>, secret: &Secret, label: &str) -> Result<Option<i64>, VaultError> {
    Ok(tx.rows.label_holder(secret.id, label)?)
}

/// The labels of a version, in alphabetical order.
pub fn of(tx: &Tx<'_>, version: i64) -> Result<Vec<String>, VaultError> {
    Ok(tx.rows.labels_of(version)?)
}

/// Moves a label to a version from the one that had it. When AWSCURRENT moves, the
/// version that had it gets AWSPREVIOUS. AWSPENDING stays where it is, as in AWS:
/// on the current version it says that the rotation is complete. So it is removed
/// when another version becomes current; on a version that is no longer current it
/// would say that a rotation is not complete.
pub fn attach(tx: &Tx<'_>, secret: &Secret, version: i64, label: &str) -> Result<(), VaultError> {
    let from = holder(tx, secret, label)?;
    if from == Some(version) {
        return Ok(());
    }
    set(tx, secret, version, label)?;
    if label == AWSCURRENT {
        let pending = holder(tx, secret, AWSPENDING)?;
        if let Some(from) = from {
            set(tx, secret, from, AWSPREVIOUS)?;
            if pending == Some(from) {
                remove(tx, secret, AWSPENDING)?;
            }
        }
        let pending = pending == Some(version);
        // A value that was put by hand counts as a rotation if there is a schedule.
        let scheduled = secret.rotation.as_ref().is_some_and(|r| r.enabled);
        if from.is_some() && (pending || scheduled) {
            tx.rows.set_rotated(secret.id, tx.now)?;
        }
    }
    Ok(())
}

fn set(tx: &Tx<'_>, secret: &Secret, version: i64, label: &str) -> Result<(), VaultError> {
    Ok(tx.rows.set_label(secret.id, label, version)?)
}

fn remove(tx: &Tx<'_>, secret: &Secret, label: &str) -> Result<(), VaultError> {
    Ok(tx.rows.remove_label(secret.id, label)?)
}

/// Refuses a version with too many labels.
pub fn check_count(tx: &Tx<'_>, version: i64) -> Result<(), VaultError> {
    let count = tx.rows.count_labels(version)?;
    if count > LABEL_LIMIT {
        return Err(VaultError::LimitExceeded(format!(
            "A version of a secret can have at most {LABEL_LIMIT} staging labels."
        )));
    }
    Ok(())
}

/// UpdateSecretVersionStage.
pub fn update(
    tx: &Tx<'_>,
    secret: &Secret,
    label: &str,
    to: Option<&str>,
    from: Option<&str>,
) -> Result<(), VaultError> {
    check_name(label)?;
    let find = |token: &str| {
        versions::by_token(tx, secret, token)?.ok_or_else(|| VaultError::no_version(token))
    };
    let to = to.map(find).transpose()?;
    let from = from.map(find).transpose()?;
    let holder = holder(tx, secret, label)?;

    match (&to, &from) {
        (None, None) => {
            return Err(VaultError::InvalidParameter(
                "Give MoveToVersionId, RemoveFromVersionId, or both.".into(),
            ));
        }
        // The same request again: the label is already there.
        (Some(to), _) if holder == Some(to.id) => return Ok(()),
        (_, Some(from)) if holder != Some(from.id) => {
            return Err(VaultError::InvalidParameter(format!(
                "The staging label {label} isn't attached to version {} that \
                 RemoveFromVersionId names.",
                from.token
            )));
        }
        (Some(_), None) if holder.is_some() => {
            let token = versions::token_of(tx, holder.unwrap_or_default())?;
            return Err(VaultError::InvalidParameter(format!(
                "The parameter RemoveFromVersionId can't be empty. Staging label {label} is \
                 currently attached to version {token}, so you must explicitly reference that \
                 version in RemoveFromVersionId."
            )));
        }
        (None, Some(_)) if label == AWSCURRENT => {
            return Err(VaultError::InvalidParameter(
                "You can only move staging label AWSCURRENT to a different secret version. \
                 It can't be completely removed."
                    .into(),
            ));
        }
        (Some(to), _) if label == AWSCURRENT && to.sealed.is_none() => {
            return Err(VaultError::InvalidRequest(format!(
                "Version {} has no value yet, so that it can't become AWSCURRENT.",
                to.token
            )));
        }
        _ => {}
    }
    match to {
        Some(to) => {
            attach(tx, secret, to.id, label)?;
            check_count(tx, to.id)?;
        }
        None => remove(tx, secret, label)?,
    }
    versions::prune(tx, secret)?;
    secrets::touch(tx, secret)
}
