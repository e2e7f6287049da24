//! Everything that is sealed in a store: wrapping its data keys anew, and checking
//! that all of it opens.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;

use super::OpenError;
use super::envelope;
use super::key::Key;
use super::storage::{Location, Rows, SealedRow, SealedTable, StorageError};

/// Wraps all data keys anew, inside the caller's transaction. Returns how many.
pub fn rewrap(
    database: &Location,
    rows: &Rows<'_>,
    old: &Key,
    new: &Key,
) -> Result<usize, OpenError> {
    let at = |e: StorageError| e.at(database);
    let mut count = 0;
    for table in SealedTable::ALL {
        // All ids are read first, so that the table is not changed while it is read.
        for id in rows.sealed_ids(table).map_err(at)? {
            let row = rows.sealed_row(table, &id).map_err(at)?;
            let data_key = &row.sealed.data_key;
            let Ok(data_key) = envelope::rewrap(old, new, &row.arn, &row.version, data_key) else {
                return Err(altered(row, database));
            };
            rows.set_data_key(table, &id, &data_key).map_err(at)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Checks that the key opens everything. Returns how many values there are.
pub fn verify(database: &Location, rows: &Rows<'_>, key: &Key) -> Result<usize, OpenError> {
    let at = |e: StorageError| e.at(database);
    let mut count = 0;
    for table in SealedTable::ALL {
        for id in rows.sealed_ids(table).map_err(at)? {
            let row = rows.sealed_row(table, &id).map_err(at)?;
            if envelope::open(key, &row.arn, &row.version, &row.sealed).is_err() {
                return Err(altered(row, database));
            }
            count += 1;
        }
    }
    Ok(count)
}

/// A keyed hash of every value and access key, by what it was sealed for.
pub fn hashes(
    database: &Location,
    rows: &Rows<'_>,
    key: &Key,
    hash: &Key,
) -> Result<BTreeMap<(String, String), Vec<u8>>, OpenError> {
    let at = |e: StorageError| e.at(database);
    let hash = hmac::Key::new(hmac::HMAC_SHA256, hash.bytes());
    let mut found = BTreeMap::new();
    for table in SealedTable::ALL {
        for id in rows.sealed_ids(table).map_err(at)? {
            let row = rows.sealed_row(table, &id).map_err(at)?;
            let Ok(plain) = envelope::open(key, &row.arn, &row.version, &row.sealed) else {
                return Err(altered(row, database));
            };
            let tag = hmac::sign(&hash, &plain).as_ref().to_vec();
            found.insert((row.arn, row.version), tag);
        }
    }
    Ok(found)
}

fn altered(row: SealedRow, database: &Location) -> OpenError {
    OpenError::Altered {
        database: database.clone(),
        what: row.name,
    }
}
