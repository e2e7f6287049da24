//! Versions and their values: GetSecretValue, PutSecretValue, and the empty
//! version that a rotation begins with.

mod rows;
mod value;

use std::sync::Arc;
use std::time::SystemTime;

use super::labels;
use super::secrets::{self, Secret};
use super::tx::{DAY, Tx, time};
use super::{VaultError, token};
use crate::secret::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, VersionId};
use rows::insert;
use value::{open, seal};

pub use rows::{Entry, VersionRow, accessed, by_label, by_token, list, prune, token_of};
pub use value::Value;

/// SecretString and SecretBinary: bytes of the value.
const VALUE_LIMIT: usize = 65_536;

/// A version with its value. Deliberately without `Debug`.
pub struct Version {
    pub arn: Arc<str>,
    pub name: Arc<str>,
    pub id: VersionId,
    pub stages: Vec<String>,
    pub created: SystemTime,
    pub value: Value,
    /// The row, if this is the first access of the day, to be noted with
    /// [`accessed`].
    pub first_access: Option<i64>,
}

/// Whether the version exists and has exactly this value.
pub fn holds(tx: &Tx<'_>, secret: &Secret, token: &str, value: &Value) -> Result<bool, VaultError> {
    match by_token(tx, secret, token)?.and_then(|row| row.sealed) {
        Some(sealed) => Ok(open(tx, secret, token, &sealed)? == *value),
        None => Ok(false),
    }
}

/// GetSecretValue. Without a version or a stage it returns AWSCURRENT.
pub fn get(
    tx: &Tx<'_>,
    secret: &Secret,
    version: Option<&str>,
    stage: Option<&str>,
) -> Result<Version, VaultError> {
    let (row, missing) = match (version, stage) {
        (Some(version), _) => (
            by_token(tx, secret, version)?,
            VaultError::no_version(version),
        ),
        (None, stage) => {
            let label = stage.unwrap_or(AWSCURRENT);
            (by_label(tx, secret, label)?, VaultError::no_stage(label))
        }
    };
    let Some((row, sealed)) = row.and_then(|mut row| row.sealed.take().map(|s| (row, s))) else {
        return Err(missing);
    };
    let stages = labels::of(tx, row.id)?;
    if let (Some(_), Some(stage)) = (version, stage)
        && !stages.iter().any(|s| s == stage)
    {
        return Err(VaultError::InvalidRequest(
            "You provided a VersionStage that is not associated to the provided VersionId.".into(),
        ));
    }
    let day = tx.now - tx.now % DAY;
    Ok(Version {
        value: open(tx, secret, &row.token, &sealed)?,
        arn: secret.arn.as_str().into(),
        name: secret.name.as_str().into(),
        first_access: (row.accessed < Some(day) || secret.accessed < Some(day)).then_some(row.id),
        id: VersionId::new(row.token),
        stages,
        created: time(row.created),
    })
}

/// PutSecretValue. Without stages the version becomes AWSCURRENT.
pub fn put(
    tx: &Tx<'_>,
    secret: &Secret,
    value: &Value,
    stages: &[String],
    request_token: Option<&str>,
) -> Result<VersionId, VaultError> {
    let length = value.bytes().len();
    if !(1..=VALUE_LIMIT).contains(&length) {
        return Err(VaultError::InvalidParameter(format!(
            "The secret value has {length} bytes; it must have between 1 and {VALUE_LIMIT}."
        )));
    }
    for label in stages {
        labels::check_name(label)?;
    }
    let token = token::given_or_new(request_token)?;
    let id = match by_token(tx, secret, &token)? {
        Some(VersionRow {
            sealed: Some(sealed),
            ..
        }) => {
            if open(tx, secret, &token, &sealed)? == *value {
                return Ok(VersionId::new(token));
            }
            return Err(token::in_use(&token, secret));
        }
        Some(reserved) => {
            fill(tx, secret, &reserved, value)?;
            reserved.id
        }
        None => insert(tx, secret, &token, Some(&seal(tx, secret, &token, value)?))?,
    };
    // The first version of a secret becomes AWSCURRENT, whatever was asked for.
    let first = labels::holder(tx, secret, AWSCURRENT)?.is_none();
    let current = stages.is_empty() || first || stages.iter().any(|s| s == AWSCURRENT);
    if current {
        labels::attach(tx, secret, id, AWSCURRENT)?;
    }
    for label in stages.iter().filter(|s| *s != AWSCURRENT) {
        labels::attach(tx, secret, id, label)?;
    }
    labels::check_count(tx, id)?;
    prune(tx, secret)?;
    secrets::touch(tx, secret)?;
    Ok(VersionId::new(token))
}

/// Fills a reserved version, only while it carries AWSPENDING. Otherwise a late
/// request of a rotation that was given up would bring the version back.
fn fill(tx: &Tx<'_>, secret: &Secret, row: &VersionRow, value: &Value) -> Result<(), VaultError> {
    if !labels::of(tx, row.id)?.iter().any(|l| l == AWSPENDING) {
        return Err(VaultError::InvalidRequest(format!(
            "The version {} of the secret {} is no longer staged AWSPENDING.",
            row.token, secret.name
        )));
    }
    let sealed = seal(tx, secret, &row.token, value)?;
    Ok(tx.rows.fill_version(row.id, &sealed)?)
}

/// Seals the labelled versions afresh under another KmsKeyId.
pub fn reseal_labelled(
    tx: &Tx<'_>,
    secret: &Secret,
    kms_key: Option<&str>,
) -> Result<(), VaultError> {
    for label in [AWSCURRENT, AWSPENDING, AWSPREVIOUS] {
        let Some(VersionRow {
            id,
            token,
            sealed: Some(sealed),
            ..
        }) = by_label(tx, secret, label)?
        else {
            continue;
        };
        let value = open(tx, secret, &token, &sealed)?;
        let sealed = seal(tx, secret, &token, &value)?;
        tx.rows.reseal_version(id, &sealed, kms_key)?;
    }
    Ok(())
}

/// Begins a rotation (RotateSecret): adds an empty version under AWSPENDING, which
/// PutSecretValue with the same token fills.
pub fn reserve(
    tx: &Tx<'_>,
    id: &str,
    request_token: Option<&str>,
) -> Result<VersionId, VaultError> {
    let secret = secrets::find_live(tx, id)?;
    let token = token::given_or_new(request_token)?;
    let pending = labels::holder(tx, &secret, AWSPENDING)?;
    if let Some(row) = by_token(tx, &secret, &token)? {
        return match row.sealed {
            None if pending == Some(row.id) => Ok(VersionId::new(token)),
            _ => Err(token::in_use(&token, &secret)),
        };
    }
    let Some(current) = labels::holder(tx, &secret, AWSCURRENT)? else {
        return Err(VaultError::no_stage(AWSCURRENT));
    };
    // A rotation that is complete may have left AWSPENDING on the current version.
    if pending.is_some_and(|pending| pending != current) {
        return Err(VaultError::InvalidRequest(
            "A previous rotation isn't complete. That rotation will be reattempted.".into(),
        ));
    }
    let version = insert(tx, &secret, &token, None)?;
    labels::attach(tx, &secret, version, AWSPENDING)?;
    secrets::touch(tx, &secret)?;
    Ok(VersionId::new(token))
}
