//! Versions as rows of their table: finding, listing, adding, removing.

use rusqlite::OptionalExtension;

use crate::vault::envelope::Sealed;
use crate::vault::secrets::Secret;
use crate::vault::tx::{DAY, Millis, Tx};
use crate::vault::{VaultError, labels};

/// How many versions without a label a secret keeps, however old they are.
const UNLABELLED_LIMIT: i64 = 100;

/// A row of the table `version`.
pub struct Row {
    pub id: i64,
    pub token: String,
    pub created: Millis,
    pub accessed: Option<Millis>,
    /// `None`: the version is reserved and waits for its value.
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

/// The version with this token.
pub fn by_token(tx: &Tx<'_>, secret: &Secret, token: &str) -> Result<Option<Row>, VaultError> {
    find_where(tx, "secret = ?1 AND token = ?2", (secret.id, token))
}

/// The version that this label points at.
pub fn by_label(tx: &Tx<'_>, secret: &Secret, label: &str) -> Result<Option<Row>, VaultError> {
    find_where(
        tx,
        "id = (SELECT version FROM label WHERE secret = ?1 AND name = ?2)",
        (secret.id, label),
    )
}

/// Adds a version; returns its row.
pub(super) fn insert(
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

/// The token of a version, by its row.
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

/// Versions in the order in which they were made, after the row `after`. Those
/// without a label are listed only with `deprecated`.
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

/// Removes versions that no label points at, except those of the last day and the
/// newest hundred.
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
