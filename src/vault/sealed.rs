//! Everything that is sealed in a store: wrapping its data keys anew, and checking
//! that all of it opens.

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::envelope::{self, Sealed};
use super::key::Key;
use super::{OpenError, schema};

/// A table with columns `data_key` and `value`.
struct Table {
    name: &'static str,
    /// Its primary key.
    id: &'static str,
    /// SQL for the ARN and the version that a row was sealed for, and for its name in
    /// messages.
    context: &'static str,
    from: &'static str,
}

const TABLES: &[Table] = &[
    Table {
        name: "version",
        id: "version.id",
        context: "secret.arn, version.token, 'version ' || version.token || ' of the secret ' || secret.name",
        from: "version JOIN secret ON secret.id = version.secret",
    },
    Table {
        name: "access_key",
        id: "access_key.id",
        // The ARN, as `principals` composes it.
        context: "'arn:aws:iam::000000000000:user/' || principal.name, access_key.id, 'access key ' || access_key.id || ' of ' || principal.name",
        from: "access_key JOIN principal ON principal.id = access_key.principal",
    },
];

struct Row {
    arn: String,
    version: String,
    name: String,
    sealed: Sealed,
}

impl Row {
    fn altered(self, database: &Path) -> OpenError {
        OpenError::Altered {
            database: database.to_owned(),
            what: self.name,
        }
    }
}

/// Wraps all data keys anew, inside the caller's transaction. Returns how many.
pub fn rewrap(
    database: &Path,
    connection: &Connection,
    old: &Key,
    new: &Key,
) -> Result<usize, OpenError> {
    each(database, connection, |table, id, row| {
        let data_key = &row.sealed.data_key;
        let Ok(data_key) = envelope::rewrap(old, new, &row.arn, &row.version, data_key) else {
            return Err(row.altered(database));
        };
        connection
            .prepare_cached(&format!(
                "UPDATE {} SET data_key = ?2 WHERE {} = ?1",
                table.name, table.id
            ))
            .and_then(|mut update| update.execute((id, data_key)))
            .map_err(|e| schema::sqlite(database, e))?;
        Ok(())
    })
}

/// Checks that the key opens everything. Returns how many values there are.
pub fn verify(database: &Path, connection: &Connection, key: &Key) -> Result<usize, OpenError> {
    each(database, connection, |_, _, row| {
        match envelope::open(key, &row.arn, &row.version, &row.sealed) {
            Ok(_) => Ok(()),
            Err(_) => Err(row.altered(database)),
        }
    })
}

fn each(
    database: &Path,
    connection: &Connection,
    mut with: impl FnMut(&Table, &Value, Row) -> Result<(), OpenError>,
) -> Result<usize, OpenError> {
    let at = |e| schema::sqlite(database, e);
    let mut count = 0;
    for table in TABLES {
        // The file of an older pgvalet lacks some of the tables.
        if !connection.table_exists(None, table.name).map_err(at)? {
            continue;
        }
        // All ids are read first, so that the table is not changed while it is read.
        let ids: Vec<Value> = connection
            .prepare(&format!(
                "SELECT {} FROM {} WHERE data_key IS NOT NULL",
                table.id, table.name
            ))
            .and_then(|mut s| s.query_map([], |row| row.get(0))?.collect())
            .map_err(at)?;
        let mut one = connection
            .prepare(&format!(
                "SELECT {}, data_key, value FROM {} WHERE {} = ?1",
                table.context, table.from, table.id
            ))
            .map_err(at)?;
        for id in ids {
            let row = one
                .query_row([&id], |row| {
                    Ok(Row {
                        arn: row.get(0)?,
                        version: row.get(1)?,
                        name: row.get(2)?,
                        sealed: Sealed {
                            data_key: row.get(3)?,
                            value: row.get(4)?,
                        },
                    })
                })
                .map_err(at)?;
            with(table, &id, row)?;
            count += 1;
        }
    }
    Ok(count)
}
