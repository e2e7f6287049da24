//! DeleteSecret, RestoreSecret, and the end of recovery windows.

use super::VaultError;
use super::secrets::{self, Secret};
use super::tx::{DAY, Millis, Tx};
use crate::secret::Deletion;

/// Deletes a secret, or marks it for deletion. Returns when it is gone for good.
pub fn delete(tx: &Tx<'_>, secret: &Secret, how: Deletion) -> Result<Millis, VaultError> {
    match how {
        Deletion::Now => {
            tx.rows.delete_secret(secret.id)?;
            Ok(tx.now)
        }
        Deletion::Window { days } => {
            check_window(i64::from(days))?;
            if secret.deletion.is_some() {
                return Err(VaultError::InvalidRequest(
                    "You tried to perform the operation on a secret that's currently marked \
                     deleted."
                        .into(),
                ));
            }
            let at = tx.now + Millis::from(days) * DAY;
            tx.rows.set_deletion(secret.id, Some(at), tx.now)?;
            Ok(at)
        }
    }
}

/// Refuses a RecoveryWindowInDays that is out of range.
pub fn check_window(days: i64) -> Result<(), VaultError> {
    if (7..=30).contains(&days) {
        return Ok(());
    }
    Err(VaultError::InvalidParameter(
        "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).".into(),
    ))
}

/// The secret that DeleteSecret is about. `None`: it is to be deleted at once and
/// is not there, so that nothing is left to do.
pub fn find(tx: &Tx<'_>, id: &str, how: Deletion) -> Result<Option<Secret>, VaultError> {
    match secrets::find(tx, id) {
        Ok(secret) => Ok(Some(secret)),
        Err(VaultError::ResourceNotFound(_)) if how == Deletion::Now => Ok(None),
        Err(e) => Err(e),
    }
}

/// Takes back a deletion. A secret that is not marked for deletion stays as it is.
pub fn restore(tx: &Tx<'_>, secret: &Secret) -> Result<(), VaultError> {
    if secret.deletion.is_some() {
        tx.rows.set_deletion(secret.id, None, tx.now)?;
    }
    Ok(())
}

/// Removes the secrets whose recovery window has ended.
pub fn purge(tx: &Tx<'_>) -> Result<(), VaultError> {
    Ok(tx.rows.purge(tx.now)?)
}

pub fn anything_to_purge(tx: &Tx<'_>) -> Result<bool, VaultError> {
    Ok(tx.rows.anything_to_purge(tx.now)?)
}
