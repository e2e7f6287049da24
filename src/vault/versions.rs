//! Values and the versions that hold them: GetSecretValue, PutSecretValue, and
//! the empty version that a rotation begins with.

use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::OptionalExtension;
use zeroize::Zeroizing;

use super::envelope::{self, Refused, Sealed};
use super::labels;
use super::secrets::{self, Secret};
use super::tx::{DAY, Millis, Tx, time};
use super::{VaultError, token};
use crate::secret::{AWSCURRENT, AWSPENDING, AWSPREVIOUS, VersionId};

/// SecretString and SecretBinary: bytes of the value.
const VALUE_LIMIT: usize = 65_536;
/// Versions without a label that a secret keeps, however old they are.
const UNLABELLED_LIMIT: i64 = 100;

/// The value of a version. Deliberately without `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    Text(Zeroizing<String>),
    Binary(Zeroizing<Vec<u8>>),
}

impl Value {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// One byte tells the kind, and is sealed with the rest.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut plain = Zeroizing::new(Vec::with_capacity(1 + self.bytes().len()));
        plain.push(match self {
            Self::Text(_) => b'T',
            Self::Binary(_) => b'B',
        });
        plain.extend_from_slice(self.bytes());
        plain
    }

    fn decode(plain: &[u8]) -> Option<Self> {
        match plain.split_first()? {
            (b'T', text) => Some(Self::Text(Zeroizing::new(
                std::str::from_utf8(text).ok()?.to_owned(),
            ))),
            (b'B', bytes) => Some(Self::Binary(Zeroizing::new(bytes.to_vec()))),
            _ => None,
        }
    }
}

/// A version with its value. Deliberately without `Debug`.
pub struct Version {
    pub arn: Arc<str>,
    pub name: Arc<str>,
    pub id: VersionId,
    pub stages: Vec<String>,
    pub created: SystemTime,
    pub value: Value,
    /// The row, where this is the first access of the day and has to be noted:
    /// see [`accessed`].
    pub first_access: Option<i64>,
}

/// A row of `version`.
pub struct Row {
    pub id: i64,
    pub token: String,
    pub created: Millis,
    pub accessed: Option<Millis>,
    /// `None`: a placeholder that waits for its value.
    pub sealed: Option<Sealed>,
}

fn find_where<P: rusqlite::Params>(
    tx: &Tx<'_>,
    condition: &str,
    parameters: P,
) -> Result<Option<Row>, VaultError> {
    let row = tx
        .sql
        .prepare_cached(&format!(
            "SELECT id, token, created, data_key, value, accessed FROM version WHERE {condition}"
        ))?
        .query_row(parameters, |row| {
            let data_key: Option<Vec<u8>> = row.get(3)?;
            let value: Option<Vec<u8>> = row.get(4)?;
            Ok(Row {
                id: row.get(0)?,
                token: row.get(1)?,
                created: row.get(2)?,
                accessed: row.get(5)?,
                sealed: data_key
                    .zip(value)
                    .map(|(data_key, value)| Sealed { data_key, value }),
            })
        })
        .optional()?;
    Ok(row)
}

pub fn by_token(tx: &Tx<'_>, secret: &Secret, token: &str) -> Result<Option<Row>, VaultError> {
    find_where(tx, "secret = ?1 AND token = ?2", (secret.id, token))
}

pub fn by_label(tx: &Tx<'_>, secret: &Secret, label: &str) -> Result<Option<Row>, VaultError> {
    find_where(
        tx,
        "id = (SELECT version FROM label WHERE secret = ?1 AND name = ?2)",
        (secret.id, label),
    )
}

fn open(tx: &Tx<'_>, secret: &Secret, token: &str, sealed: &Sealed) -> Result<Value, VaultError> {
    envelope::open(tx.master, &secret.arn, token, sealed)
        .ok()
        .and_then(|plain| Value::decode(&plain))
        .ok_or_else(|| {
            VaultError::DecryptionFailure(format!(
                "version {token} of the secret {} can't be decrypted: it was altered, or sealed \
                 under another key; restore the store from a backup or put a new version",
                secret.name
            ))
        })
}

fn seal(tx: &Tx<'_>, secret: &Secret, token: &str, value: &Value) -> Result<Sealed, VaultError> {
    envelope::seal(tx.master, &secret.arn, token, &value.encode()).map_err(|Refused| {
        VaultError::Internal("the system gave no random bytes for a data key; try again".into())
    })
}

/// Whether the version exists and has exactly this value.
pub fn holds(tx: &Tx<'_>, secret: &Secret, token: &str, value: &Value) -> Result<bool, VaultError> {
    match by_token(tx, secret, token)?.and_then(|row| row.sealed) {
        Some(sealed) => Ok(open(tx, secret, token, &sealed)? == *value),
        None => Ok(false),
    }
}

/// GetSecretValue. Without a version and a stage it means AWSCURRENT.
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

/// PutSecretValue. No stages mean AWSCURRENT.
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
        Some(Row {
            sealed: Some(sealed),
            ..
        }) => {
            if open(tx, secret, &token, &sealed)? == *value {
                return Ok(VersionId::new(token));
            }
            return Err(token::in_use(&token, secret));
        }
        Some(placeholder) => {
            fill(tx, secret, &placeholder, value)?;
            placeholder.id
        }
        None => insert(tx, secret, &token, Some(&seal(tx, secret, &token, value)?))?,
    };
    // The first version of a secret is its current one, asked for or not.
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

/// Only while it carries AWSPENDING: else the late answer of a rotation that
/// was given up would bring it back to life.
fn fill(tx: &Tx<'_>, secret: &Secret, row: &Row, value: &Value) -> Result<(), VaultError> {
    if !labels::of(tx, row.id)?.iter().any(|l| l == AWSPENDING) {
        return Err(VaultError::InvalidRequest(format!(
            "The version {} of the secret {} is no longer staged AWSPENDING.",
            row.token, secret.name
        )));
    }
    let sealed = seal(tx, secret, &row.token, value)?;
    tx.sql.execute(
        "UPDATE version SET data_key = ?2, value = ?3 WHERE id = ?1",
        (row.id, sealed.data_key, sealed.value),
    )?;
    Ok(())
}

fn insert(
    tx: &Tx<'_>,
    secret: &Secret,
    token: &str,
    sealed: Option<&Sealed>,
) -> Result<i64, VaultError> {
    tx.sql.execute(
        "INSERT INTO version (secret, token, created, data_key, value, kms_key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (
            secret.id,
            token,
            tx.now,
            sealed.map(|s| &s.data_key),
            sealed.map(|s| &s.value),
            &secret.kms_key,
        ),
    )?;
    Ok(tx.sql.last_insert_rowid())
}

/// Notes that a version was read today.
pub fn accessed(tx: &Tx<'_>, version: i64) -> Result<(), VaultError> {
    let day = tx.now - tx.now % DAY;
    tx.sql
        .prepare_cached("UPDATE version SET accessed = ?2 WHERE id = ?1")?
        .execute((version, day))?;
    tx.sql
        .prepare_cached(
            "UPDATE secret SET accessed = ?2
             WHERE id = (SELECT secret FROM version WHERE id = ?1)",
        )?
        .execute((version, day))?;
    Ok(())
}

pub fn token_of(tx: &Tx<'_>, version: i64) -> Result<String, VaultError> {
    Ok(tx
        .sql
        .prepare_cached("SELECT token FROM version WHERE id = ?1")?
        .query_row([version], |row| row.get(0))?)
}

/// A version without its value, for ListSecretVersionIds.
pub struct Entry {
    pub id: i64,
    pub token: String,
    pub created: Millis,
    pub accessed: Option<Millis>,
    pub kms_key: Option<String>,
    pub stages: Vec<String>,
}

/// Versions in the order in which they were made, after the row `after`; those
/// without a label only where they are asked for.
pub fn list(
    tx: &Tx<'_>,
    secret: &Secret,
    deprecated: bool,
    after: i64,
    limit: usize,
) -> Result<Vec<Entry>, VaultError> {
    let mut statement = tx.sql.prepare_cached(
        "SELECT id, token, created, accessed, kms_key FROM version
         WHERE secret = ?1 AND id > ?2
             AND (?3 OR EXISTS (SELECT 1 FROM label WHERE version = version.id))
         ORDER BY id LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map((secret.id, after, deprecated, limit), |row| {
        Ok(Entry {
            id: row.get(0)?,
            token: row.get(1)?,
            created: row.get(2)?,
            accessed: row.get(3)?,
            kms_key: row.get(4)?,
            stages: Vec::new(),
        })
    })?;
    let mut entries = rows.collect::<Result<Vec<_>, _>>()?;
    for entry in &mut entries {
        entry.stages = labels::of(tx, entry.id)?;
    }
    Ok(entries)
}

/// Another KmsKeyId: the versions in use are sealed afresh and carry it.
pub fn reseal_labelled(
    tx: &Tx<'_>,
    secret: &Secret,
    kms_key: Option<&str>,
) -> Result<(), VaultError> {
    for label in [AWSCURRENT, AWSPENDING, AWSPREVIOUS] {
        let Some(Row {
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
        tx.sql.execute(
            "UPDATE version SET data_key = ?2, value = ?3, kms_key = ?4 WHERE id = ?1",
            (id, sealed.data_key, sealed.value, kms_key),
        )?;
    }
    Ok(())
}

/// The first act of RotateSecret: an empty version staged AWSPENDING, which
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
    // AWSPENDING left on the current version is how older rotations ended.
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

/// Versions that no label points at are kept for a day, and beyond that the
/// newest hundred of them.
pub fn prune(tx: &Tx<'_>, secret: &Secret) -> Result<(), VaultError> {
    tx.sql
        .prepare_cached(
            "DELETE FROM version WHERE created < ?2 AND id IN (
                 SELECT id FROM version
                 WHERE secret = ?1 AND id NOT IN (SELECT version FROM label WHERE secret = ?1)
                 ORDER BY id DESC LIMIT -1 OFFSET ?3)",
        )?
        .execute((secret.id, tx.now - DAY, UNLABELLED_LIMIT))?;
    Ok(())
}
