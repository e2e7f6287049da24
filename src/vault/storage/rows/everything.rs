//! All rows of a store, as they are: to copy them.

use super::Rows;
use crate::vault::storage::StorageError;
use crate::vault::storage::cell::{Cell, Row, cells};

/// A table with its columns. Those that others refer to come first.
struct Table {
    name: &'static str,
    columns: &'static [&'static str],
    order: &'static str,
    /// The key of the table is a number that the database counts.
    counted: bool,
}

const TABLES: [Table; 6] = [
    Table {
        name: "secret",
        columns: &[
            "id",
            "name",
            "arn",
            "description",
            "created",
            "changed",
            "deletion",
            "kms_key",
            "kind",
            "accessed",
            "rotation",
            "rotated",
            "policy",
        ],
        order: "id",
        counted: true,
    },
    Table {
        name: "version",
        columns: &[
            "id", "secret", "token", "created", "data_key", "value", "kms_key", "accessed",
        ],
        order: "id",
        counted: true,
    },
    Table {
        name: "label",
        columns: &["secret", "name", "version"],
        order: "secret, name",
        counted: false,
    },
    Table {
        name: "tag",
        columns: &["secret", "key", "value"],
        order: "secret, key",
        counted: false,
    },
    Table {
        name: "principal",
        columns: &[
            "id",
            "name",
            "unique_id",
            "policies",
            "tags",
            "created",
            "disabled",
        ],
        order: "id",
        counted: true,
    },
    Table {
        name: "access_key",
        columns: &["id", "principal", "created", "expires", "data_key", "value"],
        order: "id",
        counted: false,
    },
];

/// All rows of a store, by tables.
#[derive(PartialEq, Eq)]
pub struct Everything(Vec<Vec<Vec<Cell>>>);

impl Everything {
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Vec::is_empty)
    }

    /// How many rows a table has.
    pub fn count(&self, table: &str) -> usize {
        let named = TABLES.iter().zip(&self.0).find(|(t, _)| t.name == table);
        named.map_or(0, |(_, rows)| rows.len())
    }

    /// The first table in which another store has something else. Data keys are no part of it:
    /// the other store has other ones.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        let tables = TABLES.iter().zip(self.0.iter().zip(&other.0));
        tables
            .into_iter()
            .find(|(table, (here, there))| {
                let kept = |row: &&Vec<Cell>| -> Vec<Cell> {
                    let cells = table.columns.iter().zip(*row);
                    let kept = cells.filter(|(column, _)| **column != "data_key");
                    kept.map(|(_, cell)| cell.clone()).collect()
                };
                here.len() != there.len()
                    || here.iter().zip(*there).any(|(a, b)| kept(&a) != kept(&b))
            })
            .map(|(table, _)| table.name)
    }
}

impl Rows<'_> {
    pub fn everything(&self) -> Result<Everything, StorageError> {
        let tables = TABLES
            .iter()
            .map(|table| -> Result<Vec<Vec<Cell>>, StorageError> {
                let columns = table.columns.join(", ");
                let sql = format!(
                    "SELECT {columns} FROM {} ORDER BY {}",
                    table.name, table.order
                );
                let rows = self.query(&sql, &[])?;
                Ok(rows.into_iter().map(Row::into_cells).collect())
            });
        tables.collect::<Result<_, _>>().map(Everything)
    }

    /// Adds all rows of another store to an empty one.
    pub fn add_everything(&self, all: &Everything) -> Result<(), StorageError> {
        for (table, rows) in TABLES.iter().zip(&all.0) {
            let columns = table.columns.join(", ");
            let places: Vec<String> = (1..=table.columns.len()).map(|n| format!("?{n}")).collect();
            let sql = format!(
                "INSERT INTO {} ({columns}) VALUES ({})",
                table.name,
                places.join(", ")
            );
            for row in rows {
                self.execute(&sql, row)?;
            }
            if table.counted && !rows.is_empty() {
                self.count_on(table)?;
            }
        }
        Ok(())
    }

    /// Lets the numbers of new rows follow those that were added. SQLite does so by itself.
    fn count_on(&self, table: &Table) -> Result<(), StorageError> {
        if let Self::Postgres(_) = self {
            let sql = format!(
                "SELECT setval(pg_get_serial_sequence(?1, 'id'), (SELECT max(id) FROM {}))",
                table.name
            );
            self.query(&sql, cells![table.name])?;
        }
        Ok(())
    }
}
