//! Versions of secrets.

use super::Rows;
use crate::vault::envelope::Sealed;
use crate::vault::storage::StorageError;
use crate::vault::storage::cell::{Cell, Row, cells};
use crate::vault::tx::Millis;
use crate::vault::versions::{Entry, VersionRow};

const COLUMNS: &str = "id, token, created, data_key, value, accessed";

fn read(mut row: Row) -> Result<VersionRow, StorageError> {
    let (id, token, created) = (row.read()?, row.read()?, row.read()?);
    let data_key: Option<Vec<u8>> = row.read()?;
    let value: Option<Vec<u8>> = row.read()?;
    Ok(VersionRow {
        id,
        token,
        created,
        sealed: data_key
            .zip(value)
            .map(|(data_key, value)| Sealed { data_key, value }),
        accessed: row.read()?,
    })
}

fn data_key(sealed: Option<&Sealed>) -> Cell {
    sealed.map(|s| s.data_key.as_slice()).into()
}

fn value(sealed: Option<&Sealed>) -> Cell {
    sealed.map(|s| s.value.as_slice()).into()
}

impl Rows<'_> {
    pub fn version_by_token(
        &self,
        secret: i64,
        token: &str,
    ) -> Result<Option<VersionRow>, StorageError> {
        self.optional(
            &format!("SELECT {COLUMNS} FROM version WHERE secret = ?1 AND token = ?2"),
            cells![secret, token],
        )?
        .map(read)
        .transpose()
    }

    pub fn version_by_label(
        &self,
        secret: i64,
        label: &str,
    ) -> Result<Option<VersionRow>, StorageError> {
        self.optional(
            &format!(
                "SELECT {COLUMNS} FROM version
                 WHERE id = (SELECT version FROM label WHERE secret = ?1 AND name = ?2)"
            ),
            cells![secret, label],
        )?
        .map(read)
        .transpose()
    }

    /// Adds a version; returns its row.
    pub fn add_version(
        &self,
        secret: i64,
        token: &str,
        created: Millis,
        sealed: Option<&Sealed>,
        kms_key: Option<&str>,
    ) -> Result<i64, StorageError> {
        self.one(
            "INSERT INTO version (secret, token, created, data_key, value, kms_key)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) RETURNING id",
            cells![
                secret,
                token,
                created,
                data_key(sealed),
                value(sealed),
                kms_key
            ],
        )
    }

    /// Gives a version its value.
    pub fn fill_version(&self, version: i64, sealed: &Sealed) -> Result<(), StorageError> {
        self.execute(
            "UPDATE version SET data_key = ?2, value = ?3 WHERE id = ?1",
            cells![version, data_key(Some(sealed)), value(Some(sealed))],
        )
    }

    pub fn reseal_version(
        &self,
        version: i64,
        sealed: &Sealed,
        kms_key: Option<&str>,
    ) -> Result<(), StorageError> {
        self.execute(
            "UPDATE version SET data_key = ?2, value = ?3, kms_key = ?4 WHERE id = ?1",
            cells![
                version,
                data_key(Some(sealed)),
                value(Some(sealed)),
                kms_key
            ],
        )
    }

    pub fn token_of(&self, version: i64) -> Result<String, StorageError> {
        self.one("SELECT token FROM version WHERE id = ?1", cells![version])
    }

    #[cfg(test)]
    pub fn count_versions(&self) -> Result<i64, StorageError> {
        self.one("SELECT count(*) FROM version", &[])
    }

    /// Versions in the order in which they were made, after the row `after`, without
    /// their labels. Those that have no label are among them only with `deprecated`.
    pub fn versions(
        &self,
        secret: i64,
        deprecated: bool,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.query(
            "SELECT id, token, created, accessed, kms_key FROM version
             WHERE secret = ?1 AND id > ?2
                 AND (?3 = 1 OR EXISTS (SELECT 1 FROM label WHERE label.version = version.id))
             ORDER BY id LIMIT ?4",
            cells![secret, after, deprecated, limit],
        )?;
        rows.into_iter()
            .map(|mut row| {
                Ok(Entry {
                    id: row.read()?,
                    token: row.read()?,
                    created: row.read()?,
                    accessed: row.read()?,
                    kms_key: row.read()?,
                    stages: Vec::new(),
                })
            })
            .collect()
    }

    /// Notes on which day a version, and with it its secret, was read.
    pub fn set_accessed(&self, version: i64, day: Millis) -> Result<(), StorageError> {
        self.execute(
            "UPDATE version SET accessed = ?2 WHERE id = ?1",
            cells![version, day],
        )?;
        self.execute(
            "UPDATE secret SET accessed = ?2
             WHERE id = (SELECT secret FROM version WHERE id = ?1)",
            cells![version, day],
        )
    }

    /// Removes the versions without a label that were made before `before`, except the
    /// newest `kept` of them.
    pub fn prune_versions(
        &self,
        secret: i64,
        before: Millis,
        kept: i64,
    ) -> Result<(), StorageError> {
        self.execute(
            "DELETE FROM version WHERE secret = ?1 AND created < ?2
                 AND id NOT IN (SELECT version FROM label WHERE secret = ?1)
                 AND id NOT IN (
                     SELECT id FROM version
                     WHERE secret = ?1
                         AND id NOT IN (SELECT label.version FROM label WHERE secret = ?1)
                     ORDER BY id DESC LIMIT ?3)",
            cells![secret, before, kept],
        )
    }
}
