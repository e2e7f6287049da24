//! Everything that is sealed, whatever it is.

use super::Rows;
use crate::vault::envelope::Sealed;
use crate::vault::storage::StorageError;
use crate::vault::storage::cell::{Cell, cells};

/// A table with columns `data_key` and `value`.
pub struct SealedTable {
    name: &'static str,
    /// The primary key of the table.
    id: &'static str,
    /// SQL for the ARN and the version that a row was sealed for, and for its name in
    /// messages.
    context: &'static str,
    from: &'static str,
}

/// A sealed row, and what it was sealed for.
pub struct SealedRow {
    pub arn: String,
    pub version: String,
    /// The name that messages call the row by.
    pub name: String,
    pub sealed: Sealed,
}

impl SealedTable {
    pub const ALL: &'static [Self] = &[
        Self {
            name: "version",
            id: "version.id",
            context: "secret.arn, version.token, \
                      'version ' || version.token || ' of the secret ' || secret.name",
            from: "version JOIN secret ON secret.id = version.secret",
        },
        Self {
            name: "access_key",
            id: "access_key.id",
            // The ARN, as `principals` composes it.
            context: "'arn:aws:iam::000000000000:user/' || principal.name, access_key.id, \
                      'access key ' || access_key.id || ' of ' || principal.name",
            from: "access_key JOIN principal ON principal.id = access_key.principal",
        },
    ];
}

impl Rows<'_> {
    /// The primary keys of the rows that hold something sealed. A table that the file of
    /// an older pgvalet lacks has none.
    pub fn sealed_ids(&self, table: &SealedTable) -> Result<Vec<Cell>, StorageError> {
        if let Self::Sqlite(tx) = self
            && !tx.table_exists(None, table.name)?
        {
            return Ok(Vec::new());
        }
        let rows = self.query(
            &format!(
                "SELECT {} FROM {} WHERE data_key IS NOT NULL",
                table.id, table.name
            ),
            &[],
        )?;
        rows.into_iter().map(|mut row| row.read()).collect()
    }

    pub fn sealed_row(&self, table: &SealedTable, id: &Cell) -> Result<SealedRow, StorageError> {
        let found = self.optional(
            &format!(
                "SELECT {}, data_key, value FROM {} WHERE {} = ?1",
                table.context, table.from, table.id
            ),
            std::slice::from_ref(id),
        )?;
        let mut row = found.ok_or(StorageError::Unexpected("a sealed row belongs to nothing"))?;
        Ok(SealedRow {
            arn: row.read()?,
            version: row.read()?,
            name: row.read()?,
            sealed: Sealed {
                data_key: row.read()?,
                value: row.read()?,
            },
        })
    }

    pub fn set_data_key(
        &self,
        table: &SealedTable,
        id: &Cell,
        data_key: &[u8],
    ) -> Result<(), StorageError> {
        self.execute(
            &format!(
                "UPDATE {} SET data_key = ?2 WHERE {} = ?1",
                table.name, table.id
            ),
            cells![id.clone(), data_key],
        )
    }

    /// How many values and access keys there are.
    pub fn count_sealed(&self) -> Result<i64, StorageError> {
        self.one(
            "SELECT (SELECT count(value) FROM version) + (SELECT count(*) FROM access_key)",
            &[],
        )
    }

    /// The name of each secret that has a version with the label, the token of that
    /// version, and when it was made.
    pub fn versions_with(&self, label: &str) -> Result<Vec<(String, String, i64)>, StorageError> {
        let rows = self.query(
            "SELECT secret.name, version.token, version.created FROM label
             JOIN version ON version.id = label.version
             JOIN secret ON secret.id = label.secret WHERE label.name = ?1",
            cells![label],
        )?;
        rows.into_iter()
            .map(|mut row| Ok((row.read()?, row.read()?, row.read()?)))
            .collect()
    }
}
