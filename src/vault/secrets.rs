//! Secrets without their values: names, ARNs, CreateSecret, DescribeSecret,
//! ListSecrets.

use std::collections::BTreeMap;

use super::rotation::Rotation;
use super::storage::NewSecret;
use super::tags::{self, Tag};
use super::tx::{Millis, Tx, time};
use super::versions::{self, Value};
use super::{VaultError, random, token};
use crate::secret::{Description, VersionId, is_whole};

pub const ARN_PREFIX: &str = "arn:aws:secretsmanager:local:000000000000:secret:";
const NAME_LIMIT: usize = 512;
const ID_LIMIT: usize = 2048;
const DESCRIPTION_LIMIT: usize = 2048;

/// A row of `secret`.
pub struct Secret {
    pub id: i64,
    pub name: String,
    pub arn: String,
    pub description: Option<String>,
    pub created: Millis,
    pub changed: Millis,
    /// When a deletion that was asked for takes place.
    pub deletion: Option<Millis>,
    /// KmsKeyId: stored and shown. Values are sealed under the store's own key.
    pub kms_key: Option<String>,
    /// Type, for secrets that third parties hold.
    pub kind: Option<String>,
    /// The day of the last GetSecretValue.
    pub accessed: Option<Millis>,
    pub rotation: Option<Rotation>,
    pub rotated: Option<Millis>,
    /// The resource policy, as it was put.
    pub policy: Option<String>,
}

impl Secret {
    fn describe(self, versions: Labelled) -> Description {
        Description {
            rotation: None,
            arn: self.arn.into(),
            name: self.name.into(),
            description: self.description,
            created: Some(time(self.created)),
            last_changed: Some(time(self.changed)),
            deleted: self.deletion.map(time),
            versions,
        }
    }
}

/// Versions that carry a label, with their labels.
pub type Labelled = BTreeMap<VersionId, Vec<String>>;

/// Finds the secret that a SecretId means: a name, an ARN, or an ARN without its six
/// random characters. As in AWS, an ARN that ends like a whole one is taken as
/// whole, and finds no other secret, even if the name of one ends in the same way. A
/// secret whose recovery window has ended is gone, whether it was purged or not.
pub fn find(tx: &Tx<'_>, id: &str) -> Result<Secret, VaultError> {
    if id.is_empty() || id.len() > ID_LIMIT {
        return Err(VaultError::InvalidParameter(format!(
            "Invalid SecretId. It must have between 1 and {ID_LIMIT} characters."
        )));
    }
    let name = match is_whole(id) {
        true => None,
        false => Some(id.strip_prefix(ARN_PREFIX).unwrap_or(id)),
    };
    tx.rows
        .find_secret(id, name, tx.now)?
        .ok_or_else(VaultError::no_secret)
}

/// Finds a secret that is not marked for deletion.
pub fn find_live(tx: &Tx<'_>, id: &str) -> Result<Secret, VaultError> {
    let secret = find(tx, id)?;
    match secret.deletion {
        None => Ok(secret),
        Some(_) => Err(VaultError::marked_for_deletion()),
    }
}

/// Sets LastChangedDate.
pub fn touch(tx: &Tx<'_>, secret: &Secret) -> Result<(), VaultError> {
    Ok(tx.rows.touch_secret(secret.id, tx.now)?)
}

/// Sets the resource policy, which the caller has checked, or removes it.
pub fn set_policy(tx: &Tx<'_>, secret: &Secret, policy: Option<&str>) -> Result<(), VaultError> {
    Ok(tx.rows.set_policy(secret.id, policy, tx.now)?)
}

/// A secret to be created.
#[derive(Default)]
pub struct New<'a> {
    pub name: &'a str,
    pub description: Option<&'a str>,
    pub kms_key: Option<&'a str>,
    pub kind: Option<&'a str>,
    pub tags: &'a [Tag],
    /// `None`: the secret has no version yet.
    pub value: Option<&'a Value>,
    pub token: Option<&'a str>,
}

fn check_name(name: &str) -> Result<(), VaultError> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(valid) {
        return Err(VaultError::Validation(
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of \
             the following: -/_+=.@!"
                .into(),
        ));
    }
    Ok(())
}

fn check_description(description: Option<&str>) -> Result<(), VaultError> {
    if description.is_some_and(|d| d.chars().count() > DESCRIPTION_LIMIT) {
        return Err(VaultError::InvalidParameter(format!(
            "Invalid description. It must have at most {DESCRIPTION_LIMIT} characters."
        )));
    }
    Ok(())
}

/// CreateSecret. Returns the secret and the id of its first version.
pub fn create(tx: &Tx<'_>, new: &New<'_>) -> Result<(Secret, Option<VersionId>), VaultError> {
    let name = new.name;
    check_name(name)?;
    check_description(new.description)?;
    let existing = tx.rows.secret_named(name)?;
    if let Some(existing) = existing {
        if existing.deletion.is_some() {
            return Err(VaultError::InvalidRequest(
                "You can't create this secret because a secret with this name is already \
                 scheduled for deletion."
                    .into(),
            ));
        }
        // The same request again: a client sends it after a lost answer.
        if let (Some(token), Some(value)) = (new.token, new.value)
            && versions::holds(tx, &existing, token, value)?
        {
            return Ok((existing, Some(VersionId::new(token))));
        }
        if let (Some(token), Some(_)) = (new.token, new.value)
            && versions::by_token(tx, &existing, token)?.is_some()
        {
            return Err(token::in_use(token, &existing));
        }
        return Err(VaultError::ResourceExists(format!(
            "The operation failed because the secret {name} already exists."
        )));
    }
    let arn = format!("{ARN_PREFIX}{name}-{}", random::alphanumeric(6)?);
    let row = NewSecret {
        name,
        arn: &arn,
        description: new.description,
        kms_key: new.kms_key,
        kind: new.kind,
    };
    tx.rows.add_secret(&row, tx.now)?;
    let secret = find(tx, &arn)?;
    tags::add(tx, &secret, new.tags)?;
    let version = match new.value {
        Some(value) => Some(versions::put(tx, &secret, value, &[], new.token)?),
        None => None,
    };
    Ok((secret, version))
}

/// What UpdateSecret changes. Absent fields stay as they are.
#[derive(Default)]
pub struct Update<'a> {
    pub description: Option<&'a str>,
    pub kms_key: Option<&'a str>,
    pub kind: Option<&'a str>,
    pub value: Option<&'a Value>,
    pub token: Option<&'a str>,
}

/// UpdateSecret. Returns the id of the version that a new value made.
pub fn update(
    tx: &Tx<'_>,
    secret: &Secret,
    update: &Update<'_>,
) -> Result<Option<VersionId>, VaultError> {
    check_description(update.description)?;
    // A token that belongs to a version with another value, or to a reserved one,
    // is refused before anything is changed.
    if let (Some(token), Some(value)) = (update.token, update.value)
        && versions::by_token(tx, secret, token)?.is_some()
        && !versions::holds(tx, secret, token, value)?
    {
        return Err(token::in_use(token, secret));
    }
    tx.rows.update_secret(
        secret.id,
        update.description,
        update.kms_key,
        update.kind,
        tx.now,
    )?;
    if update
        .kms_key
        .is_some_and(|key| secret.kms_key.as_deref() != Some(key))
    {
        versions::reseal_labelled(tx, secret, update.kms_key)?;
    }
    match update.value {
        Some(value) => {
            let secret = find(tx, &secret.arn)?;
            versions::put(tx, &secret, value, &[], update.token).map(Some)
        }
        None => Ok(None),
    }
}

/// The versions of a secret that carry labels.
pub fn labelled(tx: &Tx<'_>, secret: &Secret) -> Result<Labelled, VaultError> {
    let mut versions = Labelled::new();
    for (token, label) in tx.rows.labelled(secret.id)? {
        versions
            .entry(VersionId::new(token))
            .or_default()
            .push(label);
    }
    Ok(versions)
}

/// DescribeSecret: the one read of a secret that is marked for deletion.
pub fn describe(tx: &Tx<'_>, id: &str) -> Result<Description, VaultError> {
    described(tx, find(tx, id)?)
}

pub fn described(tx: &Tx<'_>, secret: Secret) -> Result<Description, VaultError> {
    let versions = labelled(tx, &secret)?;
    Ok(secret.describe(versions))
}
