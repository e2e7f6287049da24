//! DeleteSecret, RestoreSecret, and the end of recovery windows.

use super::VaultError;
use super::secrets;
use super::tx::{DAY, Millis, Tx};
use crate::secret::Deletion;

/// When the secret is gone for good.
pub fn delete(tx: &Tx<'_>, id: &str, how: Deletion) -> Result<Millis, VaultError> {
    match how {
        Deletion::Now => {
            match secrets::find(tx, id) {
                Ok(secret) => {
                    tx.sql
                        .execute("DELETE FROM secret WHERE id = ?1", [secret.id])?;
                }
                // Deleting what is not there reaches what was asked for.
                Err(VaultError::ResourceNotFound(_)) => {}
                Err(e) => return Err(e),
            }
            Ok(tx.now)
        }
        Deletion::Window { days } => {
            if !(7..=30).contains(&days) {
                return Err(VaultError::InvalidParameter(
                    "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive)."
                        .into(),
                ));
            }
            let secret = secrets::find_live(tx, id)?;
            let at = tx.now + Millis::from(days) * DAY;
            tx.sql.execute(
                "UPDATE secret SET deletion = ?2, changed = ?3 WHERE id = ?1",
                (secret.id, at, tx.now),
            )?;
            Ok(at)
        }
    }
}

/// Restoring a secret that is not marked for deletion changes nothing.
pub fn restore(tx: &Tx<'_>, id: &str) -> Result<(), VaultError> {
    let secret = secrets::find(tx, id)?;
    if secret.deletion.is_some() {
        tx.sql.execute(
            "UPDATE secret SET deletion = NULL, changed = ?2 WHERE id = ?1",
            (secret.id, tx.now),
        )?;
    }
    Ok(())
}

/// Removes the secrets whose recovery window has ended.
pub fn purge(tx: &Tx<'_>) -> Result<(), VaultError> {
    tx.sql
        .prepare_cached("DELETE FROM secret WHERE deletion <= ?1")?
        .execute([tx.now])?;
    Ok(())
}

pub fn anything_to_purge(tx: &Tx<'_>) -> Result<bool, VaultError> {
    Ok(tx
        .sql
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM secret WHERE deletion <= ?1)")?
        .query_row([tx.now], |row| row.get(0))?)
}
