//! The row that says under which key the store is sealed.

use super::Rows;
use crate::vault::envelope::Sealed;
use crate::vault::storage::StorageError;
use crate::vault::storage::cell::cells;

impl Rows<'_> {
    pub fn key_check(&self) -> Result<Sealed, StorageError> {
        // Read by the statement that began the transaction.
        if let Self::Postgres(tx) = self {
            return Ok(tx.key_check());
        }
        let found = self.optional("SELECT check_key, check_value FROM store", &[])?;
        let mut row = found.ok_or(StorageError::Unexpected("its key check is gone"))?;
        Ok(Sealed {
            data_key: row.read()?,
            value: row.read()?,
        })
    }

    /// `fingerprint` is that of the key: a store that replicas share tells them which one
    /// they need.
    pub fn set_key_check(&self, check: &Sealed, fingerprint: &str) -> Result<(), StorageError> {
        if let Self::Postgres(_) = self {
            return self.execute(
                "UPDATE store SET check_key = ?1, check_value = ?2, fingerprint = ?3",
                cells![&check.data_key[..], &check.value[..], fingerprint],
            );
        }
        self.execute(
            "INSERT INTO store (one, check_key, check_value) VALUES (1, ?1, ?2)
             ON CONFLICT (one) DO UPDATE SET
                 check_key = excluded.check_key, check_value = excluded.check_value",
            cells![&check.data_key[..], &check.value[..]],
        )
    }
}
