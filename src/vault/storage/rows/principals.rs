//! Principals and their access keys.

use super::Rows;
use crate::vault::envelope::Sealed;
use crate::vault::principals::KeyInfo;
use crate::vault::storage::StorageError;
use crate::vault::storage::cell::{Row, cells};
use crate::vault::tx::Millis;

const COLUMNS: &str = "principal.id, name, unique_id, policies, tags, principal.created, disabled";

/// A row of `principal`. Policies and tags are JSON.
pub struct PrincipalRow {
    pub id: i64,
    pub name: String,
    pub unique_id: String,
    pub policies: String,
    pub tags: String,
    pub created: Millis,
    pub disabled: Option<Millis>,
}

fn read(row: &mut Row) -> Result<PrincipalRow, StorageError> {
    Ok(PrincipalRow {
        id: row.read()?,
        name: row.read()?,
        unique_id: row.read()?,
        policies: row.read()?,
        tags: row.read()?,
        created: row.read()?,
        disabled: row.read()?,
    })
}

impl Rows<'_> {
    pub fn principal_named(&self, name: &str) -> Result<Option<PrincipalRow>, StorageError> {
        self.optional(
            &format!("SELECT {COLUMNS} FROM principal WHERE name = ?1"),
            cells![name],
        )?
        .map(|mut row| read(&mut row))
        .transpose()
    }

    /// All principals, ordered by name.
    pub fn principals(&self) -> Result<Vec<PrincipalRow>, StorageError> {
        let rows = self.query(
            &format!("SELECT {COLUMNS} FROM principal ORDER BY name"),
            &[],
        )?;
        rows.into_iter().map(|mut row| read(&mut row)).collect()
    }

    pub fn add_principal(
        &self,
        name: &str,
        unique_id: &str,
        policies: &str,
        tags: &str,
        now: Millis,
    ) -> Result<(), StorageError> {
        self.execute(
            "INSERT INTO principal (name, unique_id, policies, tags, created)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            cells![name, unique_id, policies, tags, now],
        )
    }

    /// Notes since when the keys of a principal are not accepted.
    pub fn set_disabled(&self, principal: i64, since: Option<Millis>) -> Result<(), StorageError> {
        self.execute(
            "UPDATE principal SET disabled = ?2 WHERE id = ?1",
            cells![principal, since],
        )
    }

    pub fn set_policies(&self, principal: i64, policies: &str) -> Result<(), StorageError> {
        self.execute(
            "UPDATE principal SET policies = ?2 WHERE id = ?1",
            cells![principal, policies],
        )
    }

    /// The access keys of a principal, the oldest first.
    pub fn access_keys(&self, principal: i64) -> Result<Vec<KeyInfo>, StorageError> {
        let rows = self.query(
            "SELECT id, created, expires FROM access_key WHERE principal = ?1
             ORDER BY created, id",
            cells![principal],
        )?;
        rows.into_iter()
            .map(|mut row| {
                Ok(KeyInfo {
                    id: row.read()?,
                    created: row.read()?,
                    expires: row.read()?,
                })
            })
            .collect()
    }

    pub fn add_access_key(
        &self,
        id: &str,
        principal: i64,
        created: Millis,
        expires: Option<Millis>,
        sealed: &Sealed,
    ) -> Result<(), StorageError> {
        self.execute(
            "INSERT INTO access_key (id, principal, created, expires, data_key, value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            cells![
                id,
                principal,
                created,
                expires,
                &sealed.data_key[..],
                &sealed.value[..]
            ],
        )
    }

    /// Ends the keys of a principal at `end`, unless they end before; removes those that
    /// have ended.
    pub fn expire_access_keys(
        &self,
        principal: i64,
        end: Millis,
        now: Millis,
    ) -> Result<(), StorageError> {
        self.execute(
            "UPDATE access_key SET expires = ?2
             WHERE principal = ?1 AND (expires IS NULL OR expires > ?2)",
            cells![principal, end],
        )?;
        self.execute(
            "DELETE FROM access_key WHERE principal = ?1 AND expires <= ?2",
            cells![principal, now],
        )
    }

    /// An access key that is accepted, and its principal.
    pub fn access_key(
        &self,
        id: &str,
        now: Millis,
    ) -> Result<Option<(PrincipalRow, Sealed)>, StorageError> {
        self.optional(
            &format!(
                "SELECT {COLUMNS}, data_key, value FROM access_key
                 JOIN principal ON principal.id = access_key.principal
                 WHERE access_key.id = ?1 AND disabled IS NULL
                     AND (expires IS NULL OR expires > ?2)"
            ),
            cells![id, now],
        )?
        .map(|mut row| {
            let principal = read(&mut row)?;
            let (data_key, value) = (row.read()?, row.read()?);
            Ok((principal, Sealed { data_key, value }))
        })
        .transpose()
    }
}
