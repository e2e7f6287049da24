//! Secrets without their values.

use super::Rows;
use crate::vault::search::{Cursor, Key, SortBy};
use crate::vault::secrets::Secret;
use crate::vault::storage::StorageError;
use crate::vault::storage::cell::{Cell, Row, cells};
use crate::vault::tx::Millis;

const COLUMNS: &str = "id, name, arn, description, created, changed, deletion, kms_key, kind, \
                       accessed, rotation, rotated, policy";

/// A secret that is added.
pub struct NewSecret<'a> {
    pub name: &'a str,
    pub arn: &'a str,
    pub description: Option<&'a str>,
    pub kms_key: Option<&'a str>,
    pub kind: Option<&'a str>,
}

/// Which secrets a page has.
pub struct PageOf<'a> {
    /// Whether secrets are listed that are marked for deletion.
    pub planned_deletion: bool,
    pub sort_by: SortBy,
    pub descending: bool,
    pub after: Option<&'a Cursor>,
    pub limit: usize,
}

fn read(mut row: Row) -> Result<Secret, StorageError> {
    Ok(Secret {
        id: row.read()?,
        name: row.read()?,
        arn: row.read()?,
        description: row.read()?,
        created: row.read()?,
        changed: row.read()?,
        deletion: row.read()?,
        kms_key: row.read()?,
        kind: row.read()?,
        accessed: row.read()?,
        // Only pgvalet writes this column. JSON that cannot be read counts as none.
        rotation: row
            .read::<Option<String>>()?
            .and_then(|text| serde_json::from_str(&text).ok()),
        rotated: row.read()?,
        policy: row.read()?,
    })
}

impl Rows<'_> {
    /// The secret with this ARN, or else that of this name, unless it is gone by `now`.
    pub fn find_secret(
        &self,
        arn: &str,
        name: Option<&str>,
        now: Millis,
    ) -> Result<Option<Secret>, StorageError> {
        self.optional(
            &format!(
                "SELECT {COLUMNS} FROM secret
                 WHERE (arn = ?1 OR name = ?2) AND (deletion IS NULL OR deletion > ?3)
                 ORDER BY arn = ?1 DESC LIMIT 1"
            ),
            cells![arn, name, now],
        )?
        .map(read)
        .transpose()
    }

    /// The secret of this name, also one that is marked for deletion.
    pub fn secret_named(&self, name: &str) -> Result<Option<Secret>, StorageError> {
        self.optional(
            &format!("SELECT {COLUMNS} FROM secret WHERE name = ?1"),
            cells![name],
        )?
        .map(read)
        .transpose()
    }

    pub fn count_secrets(&self) -> Result<i64, StorageError> {
        self.one("SELECT count(*) FROM secret", &[])
    }

    pub fn add_secret(&self, new: &NewSecret<'_>, now: Millis) -> Result<(), StorageError> {
        self.execute(
            "INSERT INTO secret (name, arn, description, created, changed, kms_key, kind)
             VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6)",
            cells![
                new.name,
                new.arn,
                new.description,
                now,
                new.kms_key,
                new.kind
            ],
        )
    }

    /// Sets what is given, and LastChangedDate.
    pub fn update_secret(
        &self,
        secret: i64,
        description: Option<&str>,
        kms_key: Option<&str>,
        kind: Option<&str>,
        now: Millis,
    ) -> Result<(), StorageError> {
        self.execute(
            "UPDATE secret SET description = coalesce(?2, description),
                 kms_key = coalesce(?3, kms_key), kind = coalesce(?4, kind), changed = ?5
             WHERE id = ?1",
            cells![secret, description, kms_key, kind, now],
        )
    }

    /// Sets LastChangedDate.
    pub fn touch_secret(&self, secret: i64, now: Millis) -> Result<(), StorageError> {
        self.execute(
            "UPDATE secret SET changed = ?2 WHERE id = ?1",
            cells![secret, now],
        )
    }

    pub fn set_policy(
        &self,
        secret: i64,
        policy: Option<&str>,
        now: Millis,
    ) -> Result<(), StorageError> {
        self.execute(
            "UPDATE secret SET policy = ?2, changed = ?3 WHERE id = ?1",
            cells![secret, policy, now],
        )
    }

    /// Sets the rotation settings, in JSON.
    pub fn set_rotation(&self, secret: i64, settings: &str) -> Result<(), StorageError> {
        self.execute(
            "UPDATE secret SET rotation = ?2 WHERE id = ?1",
            cells![secret, settings],
        )
    }

    /// Notes that a secret was rotated.
    pub fn set_rotated(&self, secret: i64, at: Millis) -> Result<(), StorageError> {
        self.execute(
            "UPDATE secret SET rotated = ?2 WHERE id = ?1",
            cells![secret, at],
        )
    }

    /// Marks a secret for deletion, or takes that back.
    pub fn set_deletion(
        &self,
        secret: i64,
        at: Option<Millis>,
        now: Millis,
    ) -> Result<(), StorageError> {
        self.execute(
            "UPDATE secret SET deletion = ?2, changed = ?3 WHERE id = ?1",
            cells![secret, at, now],
        )
    }

    /// Removes a secret with all that belongs to it.
    pub fn delete_secret(&self, secret: i64) -> Result<(), StorageError> {
        self.execute("DELETE FROM secret WHERE id = ?1", cells![secret])
    }

    /// Removes the secrets whose deletion takes place by now.
    pub fn purge(&self, now: Millis) -> Result<(), StorageError> {
        self.execute("DELETE FROM secret WHERE deletion <= ?1", cells![now])
    }

    pub fn anything_to_purge(&self, now: Millis) -> Result<bool, StorageError> {
        self.one(
            "SELECT EXISTS (SELECT 1 FROM secret WHERE deletion <= ?1)",
            cells![now],
        )
    }

    /// Secrets in an order, after one of them.
    pub fn page(&self, page: &PageOf<'_>, now: Millis) -> Result<Vec<Secret>, StorageError> {
        let column = column(page.sort_by);
        let (order, beyond) = match page.descending {
            false => ("ASC", ">"),
            true => ("DESC", "<"),
        };
        let mut cells = vec![
            page.planned_deletion.into(),
            now.into(),
            Cell::Integer(i64::try_from(page.limit).unwrap_or(i64::MAX)),
        ];
        let mut after = String::new();
        if let Some(cursor) = page.after {
            after = format!("AND ({column}, id) {beyond} (?4, ?5)");
            cells.push(match &cursor.key {
                Key::Time(time) => (*time).into(),
                Key::Name(name) => name.as_str().into(),
            });
            cells.push(cursor.id.into());
        }
        let rows = self.query(
            &format!(
                "SELECT {COLUMNS} FROM secret
                 WHERE (deletion IS NULL OR (?1 = 1 AND deletion > ?2)) {after}
                 ORDER BY {column} {order}, id {order} LIMIT ?3"
            ),
            &cells,
        )?;
        rows.into_iter().map(read).collect()
    }
}

fn column(sort_by: SortBy) -> &'static str {
    match sort_by {
        SortBy::Created => "created",
        SortBy::Accessed => "coalesce(accessed, 0)",
        SortBy::Changed => "changed",
        SortBy::Name => "name",
    }
}
