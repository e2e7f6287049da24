//! Secrets without their values: names, ARNs, CreateSecret, DescribeSecret,
//! ListSecrets.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{OptionalExtension, Row};

use super::tx::{Millis, Tx, time};
use super::versions::{self, Value};
use super::{VaultError, random};
use crate::secret::{Description, VersionId};

const ARN_PREFIX: &str = "arn:aws:secretsmanager:local:000000000000:secret:";
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
}

const COLUMNS: &str = "id, name, arn, description, created, changed, deletion";

impl Secret {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            name: row.get(1)?,
            arn: row.get(2)?,
            description: row.get(3)?,
            created: row.get(4)?,
            changed: row.get(5)?,
            deletion: row.get(6)?,
        })
    }

    fn describe(self, versions: BTreeMap<VersionId, Vec<String>>) -> Description {
        Description {
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

/// The secret that a SecretId means: a name, an ARN, or an ARN without its six
/// random characters. The whole ARN is tried first, because a name may itself
/// end like one. One whose recovery window has ended is gone, purged or not.
pub fn find(tx: &Tx<'_>, id: &str) -> Result<Secret, VaultError> {
    if id.is_empty() || id.len() > ID_LIMIT {
        return Err(VaultError::InvalidParameter(format!(
            "Invalid SecretId. It must have between 1 and {ID_LIMIT} characters."
        )));
    }
    let name = id.strip_prefix(ARN_PREFIX).unwrap_or(id);
    tx.sql
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM secret
             WHERE (arn = ?1 OR name = ?2) AND (deletion IS NULL OR deletion > ?3)
             ORDER BY arn = ?1 DESC LIMIT 1"
        ))?
        .query_row((id, name, tx.now), Secret::read)
        .optional()?
        .ok_or_else(VaultError::no_secret)
}

/// The same, for operations that a secret which waits for its deletion refuses.
pub fn find_live(tx: &Tx<'_>, id: &str) -> Result<Secret, VaultError> {
    let secret = find(tx, id)?;
    match secret.deletion {
        None => Ok(secret),
        Some(_) => Err(VaultError::marked_for_deletion()),
    }
}

pub fn touch(tx: &Tx<'_>, secret: &Secret) -> Result<(), VaultError> {
    tx.sql.execute(
        "UPDATE secret SET changed = ?2 WHERE id = ?1",
        (secret.id, tx.now),
    )?;
    Ok(())
}

/// CreateSecret with its first value; the id of that version.
pub fn create(
    tx: &Tx<'_>,
    name: &str,
    description: Option<&str>,
    value: &Value,
    token: Option<&str>,
) -> Result<VersionId, VaultError> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-".contains(c);
    if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(valid) {
        return Err(VaultError::InvalidParameter(format!(
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of \
             the following: -/_+=.@ and at most {NAME_LIMIT} characters."
        )));
    }
    if description.is_some_and(|d| d.chars().count() > DESCRIPTION_LIMIT) {
        return Err(VaultError::InvalidParameter(format!(
            "Invalid description. It must have at most {DESCRIPTION_LIMIT} characters."
        )));
    }
    let existing = tx
        .sql
        .query_row(
            &format!("SELECT {COLUMNS} FROM secret WHERE name = ?1"),
            [name],
            Secret::read,
        )
        .optional()?;
    if let Some(existing) = existing {
        if existing.deletion.is_some() {
            return Err(VaultError::InvalidRequest(
                "You can't create this secret because a secret with this name is already \
                 scheduled for deletion."
                    .into(),
            ));
        }
        // The same request again, as a client sends it after a lost answer.
        if let Some(token) = token
            && versions::holds(tx, &existing, token, value)?
        {
            return Ok(VersionId::new(token));
        }
        return Err(VaultError::ResourceExists(format!(
            "The operation failed because the secret {name} already exists."
        )));
    }
    let arn = format!("{ARN_PREFIX}{name}-{}", random::alphanumeric(6)?);
    tx.sql.execute(
        "INSERT INTO secret (name, arn, description, created, changed) VALUES (?1, ?2, ?3, ?4, ?4)",
        (name, &arn, description, tx.now),
    )?;
    let secret = find(tx, &arn)?;
    versions::put(tx, &secret, value, &[], token)
}

/// DescribeSecret; the one read that a secret marked for deletion allows.
pub fn describe(tx: &Tx<'_>, id: &str) -> Result<Description, VaultError> {
    let secret = find(tx, id)?;
    let mut versions: BTreeMap<VersionId, Vec<String>> = BTreeMap::new();
    let mut statement = tx.sql.prepare_cached(
        "SELECT version.token, label.name FROM label JOIN version ON version.id = label.version
         WHERE label.secret = ?1 ORDER BY label.name",
    )?;
    let mut rows = statement.query([secret.id])?;
    while let Some(row) = rows.next()? {
        let token: String = row.get(0)?;
        versions
            .entry(VersionId::new(token))
            .or_default()
            .push(row.get(1)?);
    }
    Ok(secret.describe(versions))
}

/// ListSecrets, ordered by name.
pub fn list(tx: &Tx<'_>, include_planned_deletion: bool) -> Result<Vec<Description>, VaultError> {
    let mut labels: HashMap<i64, BTreeMap<VersionId, Vec<String>>> = HashMap::new();
    let mut statement = tx.sql.prepare_cached(
        "SELECT label.secret, version.token, label.name
         FROM label JOIN version ON version.id = label.version ORDER BY label.name",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let token: String = row.get(1)?;
        labels
            .entry(row.get(0)?)
            .or_default()
            .entry(VersionId::new(token))
            .or_default()
            .push(row.get(2)?);
    }
    let mut statement = tx.sql.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM secret
         WHERE deletion IS NULL OR (?1 AND deletion > ?2) ORDER BY name"
    ))?;
    statement
        .query_map((include_planned_deletion, tx.now), Secret::read)?
        .map(|secret| {
            let secret = secret?;
            let versions = labels.remove(&secret.id).unwrap_or_default();
            Ok(secret.describe(versions))
        })
        .collect()
}
