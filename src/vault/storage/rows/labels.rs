//! Labels of versions, and tags of secrets.

use super::Rows;
use crate::vault::storage::StorageError;
use crate::vault::storage::cell::cells;
use crate::vault::tags::Tag;

impl Rows<'_> {
    /// The version that carries a label.
    pub fn label_holder(&self, secret: i64, label: &str) -> Result<Option<i64>, StorageError> {
        let found = self.optional(
            "SELECT version FROM label WHERE secret = ?1 AND name = ?2",
            cells![secret, label],
        )?;
        found.map(|mut row| row.read()).transpose()
    }

    /// The labels of a version, in alphabetical order.
    pub fn labels_of(&self, version: i64) -> Result<Vec<String>, StorageError> {
        let rows = self.query(
            "SELECT name FROM label WHERE version = ?1 ORDER BY name",
            cells![version],
        )?;
        rows.into_iter().map(|mut row| row.read()).collect()
    }

    pub fn count_labels(&self, version: i64) -> Result<i64, StorageError> {
        self.one(
            "SELECT count(*) FROM label WHERE version = ?1",
            cells![version],
        )
    }

    /// The labels of a secret, each behind the token of its version.
    pub fn labelled(&self, secret: i64) -> Result<Vec<(String, String)>, StorageError> {
        let rows = self.query(
            "SELECT version.token, label.name FROM label
             JOIN version ON version.id = label.version
             WHERE label.secret = ?1 ORDER BY label.name",
            cells![secret],
        )?;
        rows.into_iter()
            .map(|mut row| Ok((row.read()?, row.read()?)))
            .collect()
    }

    pub fn set_label(&self, secret: i64, label: &str, version: i64) -> Result<(), StorageError> {
        self.execute(
            "INSERT INTO label (secret, name, version) VALUES (?1, ?2, ?3)
             ON CONFLICT (secret, name) DO UPDATE SET version = excluded.version",
            cells![secret, label, version],
        )
    }

    pub fn remove_label(&self, secret: i64, label: &str) -> Result<(), StorageError> {
        self.execute(
            "DELETE FROM label WHERE secret = ?1 AND name = ?2",
            cells![secret, label],
        )
    }

    /// The tags of a secret, in alphabetical order.
    pub fn tags_of(&self, secret: i64) -> Result<Vec<Tag>, StorageError> {
        let rows = self.query(
            "SELECT key, value FROM tag WHERE secret = ?1 ORDER BY key",
            cells![secret],
        )?;
        rows.into_iter()
            .map(|mut row| {
                Ok(Tag {
                    key: row.read()?,
                    value: row.read()?,
                })
            })
            .collect()
    }

    pub fn set_tag(&self, secret: i64, tag: &Tag) -> Result<(), StorageError> {
        self.execute(
            "INSERT INTO tag (secret, key, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (secret, key) DO UPDATE SET value = excluded.value",
            cells![secret, tag.key.as_str(), tag.value.as_str()],
        )
    }

    pub fn remove_tag(&self, secret: i64, key: &str) -> Result<(), StorageError> {
        self.execute(
            "DELETE FROM tag WHERE secret = ?1 AND key = ?2",
            cells![secret, key],
        )
    }
}
