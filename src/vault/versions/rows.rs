//! Versions as rows of their table: finding, listing, adding, removing.

use crate::vault::envelope::Sealed;
use crate::vault::secrets::Secret;
use crate::vault::tx::{DAY, Millis, Tx};
use crate::vault::{VaultError, labels};

/// How many versions without a label a secret keeps, however old they are.
const UNLABELLED_LIMIT: i64 = 100;

/// A row of the table `version`.
pub struct VersionRow {
    pub id: i64,
    pub token: String,
    pub created: Millis,
    pub accessed: Option<Millis>,
    /// `None`: the version is reserved and waits for its value.
    pub sealed: Option<Sealed>,
}

/// The version with this token.
pub fn by_token(
    tx: &Tx<'_>,
    secret: &Secret,
    token: &str,
) -> Result<Option<VersionRow>, VaultError> {
    Ok(tx.rows.version_by_token(secret.id, token)?)
}

/// The version that this label points at.
pub fn by_label(
    tx: &Tx<'_>,
    secret: &Secret,
    label: &str,
) -> Result<Option<VersionRow>, VaultError> {
    Ok(tx.rows.version_by_label(secret.id, label)?)
}

/// Adds a version; returns its row.
pub(super) fn insert(
    tx: &Tx<'_>,
    secret: &Secret,
    token: &str,
    sealed: Option<&Sealed>,
) -> Result<i64, VaultError> {
    let kms_key = secret.kms_key.as_deref();
    Ok(tx
        .rows
        .add_version(secret.id, token, tx.now, sealed, kms_key)?)
}

/// The token of a version, by its row.
pub fn token_of(tx: &Tx<'_>, version: i64) -> Result<String, VaultError> {
    Ok(tx.rows.token_of(version)?)
}

/// A version without its value, for ListSecretVersionIds.
pub struct Entry {
    pub id: i64,
    pub token: String,
    pub created: Millis,
    pub accessed: Option<Millis>,
    pub kms_key: Option<String>,
    pub stages: Vec<String>,
}

/// Versions in the order in which they were made, after the row `after`. Those
/// without a label are listed only with `deprecated`.
pub fn list(
    tx: &Tx<'_>,
    secret: &Secret,
    deprecated: bool,
    after: i64,
    limit: usize,
) -> Result<Vec<Entry>, VaultError> {
    let mut entries = tx.rows.versions(secret.id, deprecated, after, limit)?;
    for entry in &mut entries {
        entry.stages = labels::of(tx, entry.id)?;
    }
    Ok(entries)
}

/// Notes that a version was read today.
pub fn accessed(tx: &Tx<'_>, version: i64) -> Result<(), VaultError> {
    Ok(tx.rows.set_accessed(version, tx.now - tx.now % DAY)?)
}

/// Removes versions that no label points at, except those of the last day and the
/// newest hundred.
pub fn prune(tx: &Tx<'_>, secret: &Secret) -> Result<(), VaultError> {
    let before = tx.now - DAY;
    Ok(tx
        .rows
        .prune_versions(secret.id, before, UNLABELLED_LIMIT)?)
}
