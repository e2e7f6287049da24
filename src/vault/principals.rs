//! Who may call the API: principals, their policies, and their access keys.
//! Secret keys are sealed like values, and not hashed, because checking a
//! signature takes the key itself.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::envelope::{self, Sealed};
use super::policy::{Kind, Policy};
use super::tx::{Millis, Tx};
use super::{Vault, VaultError, random};

/// The account of every ARN of this store.
pub const ACCOUNT: &str = "000000000000";

const NAME_LIMIT: usize = 64;

/// One policy document, and its name in decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyText {
    pub name: String,
    pub document: String,
}

/// Somebody who may call the API.
#[derive(Debug, Clone)]
pub struct Principal {
    id: i64,
    pub name: String,
    /// Never used twice. A name may be given to another principal later.
    pub unique_id: String,
    pub policies: Vec<PolicyText>,
    pub tags: BTreeMap<String, String>,
    pub created: Millis,
    /// Since when its keys are not accepted.
    pub disabled: Option<Millis>,
}

impl Principal {
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::{ACCOUNT}:user/{}", self.name)
    }
}

/// An access key without its secret.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    pub id: String,
    pub created: Millis,
    /// When the key stops being accepted.
    pub expires: Option<Millis>,
}

/// A new access key with its secret, which is shown this once. Deliberately without
/// `Debug`.
pub struct NewKey {
    pub id: String,
    pub secret: Zeroizing<String>,
}

/// A key that a request names, still sealed, and the principal it belongs to.
pub struct Found {
    pub principal: Principal,
    sealed: Sealed,
    key: String,
}

impl Found {
    pub fn sealed(&self) -> &[u8] {
        &self.sealed.value
    }

    pub fn open(&self, tx: &Tx<'_>) -> Result<Zeroizing<String>, VaultError> {
        let arn = self.principal.arn();
        let plain = envelope::open(tx.master, &arn, &self.key, &self.sealed).ok();
        plain
            .and_then(|plain| {
                std::str::from_utf8(&plain)
                    .ok()
                    .map(|t| Zeroizing::new(t.to_owned()))
            })
            .ok_or_else(|| {
                VaultError::DecryptionFailure(format!(
                    "the access key {} of {} can't be decrypted: it was altered, or sealed under \
                     another key; make a new one with: pgvalet store principal rotate-key",
                    self.key, self.principal.name
                ))
            })
    }
}

const COLUMNS: &str = "principal.id, name, unique_id, policies, tags, principal.created, disabled";

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Principal> {
    let (policies, tags): (String, String) = (row.get(3)?, row.get(4)?);
    let json =
        |e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e));
    Ok(Principal {
        id: row.get(0)?,
        name: row.get(1)?,
        unique_id: row.get(2)?,
        policies: serde_json::from_str(&policies).map_err(json)?,
        tags: serde_json::from_str(&tags).map_err(json)?,
        created: row.get(5)?,
        disabled: row.get(6)?,
    })
}

fn json(value: &impl Serialize) -> Result<String, VaultError> {
    serde_json::to_string(value)
        .map_err(|e| VaultError::Internal(format!("a principal cannot be written: {e}")))
}

fn no_such(name: &str) -> VaultError {
    VaultError::ResourceNotFound(format!(
        "there is no principal {name}; `pgvalet store principal list` shows them"
    ))
}

/// Adds a principal with its first key.
pub fn add(
    tx: &Tx<'_>,
    name: &str,
    policies: &[PolicyText],
    tags: &BTreeMap<String, String>,
) -> Result<(Principal, NewKey), VaultError> {
    let valid = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(valid) {
        return Err(VaultError::InvalidParameter(format!(
            "{name:?} is no name for a principal; it has 1 to {NAME_LIMIT} letters, digits and _+=,.@-"
        )));
    }
    if find(tx, name)?.is_some() {
        return Err(VaultError::ResourceExists(format!(
            "there is a principal {name} already; give it a new key with: \
             pgvalet store principal rotate-key {name}"
        )));
    }
    let unique_id = format!("AIDA{}", random::alphanumeric(17)?.to_ascii_uppercase());
    tx.sql.execute(
        "INSERT INTO principal (name, unique_id, policies, tags, created)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        (name, unique_id, json(&policies)?, json(tags)?, tx.now),
    )?;
    let principal = find(tx, name)?.ok_or_else(|| no_such(name))?;
    let key = new_key(tx, &principal)?;
    Ok((principal, key))
}

fn new_key(tx: &Tx<'_>, principal: &Principal) -> Result<NewKey, VaultError> {
    let id = format!("AKIA{}", random::alphanumeric(16)?.to_ascii_uppercase());
    let secret = Zeroizing::new(random::alphanumeric(40)?);
    let sealed = envelope::seal(tx.master, &principal.arn(), &id, secret.as_bytes())
        .map_err(|_| VaultError::Internal("the system gave no random bytes; try again".into()))?;
    tx.sql.execute(
        "INSERT INTO access_key (id, principal, created, data_key, value)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        (&id, principal.id, tx.now, sealed.data_key, sealed.value),
    )?;
    Ok(NewKey { id, secret })
}

pub fn find(tx: &Tx<'_>, name: &str) -> Result<Option<Principal>, VaultError> {
    Ok(tx
        .sql
        .prepare_cached(&format!("SELECT {COLUMNS} FROM principal WHERE name = ?1"))?
        .query_row([name], read)
        .optional()?)
}

pub fn get(tx: &Tx<'_>, name: &str) -> Result<Principal, VaultError> {
    find(tx, name)?.ok_or_else(|| no_such(name))
}

/// All principals with their keys, ordered by name.
pub fn list(tx: &Tx<'_>) -> Result<Vec<(Principal, Vec<KeyInfo>)>, VaultError> {
    let mut statement = tx
        .sql
        .prepare_cached(&format!("SELECT {COLUMNS} FROM principal ORDER BY name"))?;
    let principals = statement
        .query_map([], read)?
        .collect::<Result<Vec<_>, _>>()?;
    let mut keys = tx.sql.prepare_cached(
        "SELECT id, created, expires FROM access_key WHERE principal = ?1 ORDER BY created, id",
    )?;
    principals
        .into_iter()
        .map(|principal| {
            let rows = keys.query_map([principal.id], |row| {
                Ok(KeyInfo {
                    id: row.get(0)?,
                    created: row.get(1)?,
                    expires: row.get(2)?,
                })
            })?;
            let keys = rows.collect::<Result<_, _>>()?;
            Ok((principal, keys))
        })
        .collect()
}

/// Stops accepting the keys of a principal, or accepts them again.
pub fn set_disabled(tx: &Tx<'_>, name: &str, disabled: bool) -> Result<(), VaultError> {
    let principal = get(tx, name)?;
    tx.sql.execute(
        "UPDATE principal SET disabled = ?2 WHERE id = ?1",
        (principal.id, disabled.then_some(tx.now)),
    )?;
    Ok(())
}

pub fn set_policies(tx: &Tx<'_>, name: &str, policies: &[PolicyText]) -> Result<(), VaultError> {
    let principal = get(tx, name)?;
    tx.sql.execute(
        "UPDATE principal SET policies = ?2 WHERE id = ?1",
        (principal.id, json(&policies)?),
    )?;
    Ok(())
}

/// Adds a key. Older ones are accepted for `overlap` longer; those that are no longer
/// accepted are removed.
pub fn rotate_key(tx: &Tx<'_>, name: &str, overlap: Millis) -> Result<NewKey, VaultError> {
    let principal = get(tx, name)?;
    let end = tx.now.saturating_add(overlap);
    tx.sql.execute(
        "UPDATE access_key SET expires = min(coalesce(expires, ?2), ?2) WHERE principal = ?1",
        (principal.id, end),
    )?;
    tx.sql.execute(
        "DELETE FROM access_key WHERE principal = ?1 AND expires <= ?2",
        (principal.id, tx.now),
    )?;
    new_key(tx, &principal)
}

/// The key with this id, if it is accepted.
pub fn by_key(tx: &Tx<'_>, key: &str) -> Result<Option<Found>, VaultError> {
    Ok(tx
        .sql
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, data_key, value FROM access_key
             JOIN principal ON principal.id = access_key.principal
             WHERE access_key.id = ?1 AND disabled IS NULL AND (expires IS NULL OR expires > ?2)"
        ))?
        .query_row((key, tx.now), |row| {
            Ok(Found {
                principal: read(row)?,
                sealed: Sealed {
                    data_key: row.get(7)?,
                    value: row.get(8)?,
                },
                key: key.to_owned(),
            })
        })
        .optional()?)
}

fn check(policies: &[PolicyText]) -> Result<(), VaultError> {
    for policy in policies {
        Policy::parse(&policy.name, &policy.document, Kind::Identity)
            .map_err(|e| VaultError::InvalidParameter(format!("{}: {e}", policy.name)))?;
    }
    Ok(())
}

/// What the command line does with principals.
impl Vault {
    pub async fn add_principal(
        &self,
        name: String,
        policies: Vec<PolicyText>,
        tags: BTreeMap<String, String>,
    ) -> Result<(Principal, NewKey), VaultError> {
        check(&policies)?;
        self.write(move |tx| add(tx, &name, &policies, &tags)).await
    }

    pub async fn principals(&self) -> Result<Vec<(Principal, Vec<KeyInfo>)>, VaultError> {
        self.read(list).await
    }

    pub async fn disable_principal(&self, name: String, yes: bool) -> Result<(), VaultError> {
        self.write(move |tx| set_disabled(tx, &name, yes)).await
    }

    pub async fn set_principal_policies(
        &self,
        name: String,
        policies: Vec<PolicyText>,
    ) -> Result<(), VaultError> {
        check(&policies)?;
        self.write(move |tx| set_policies(tx, &name, &policies))
            .await
    }

    pub async fn rotate_principal_key(
        &self,
        name: String,
        overlap: Duration,
    ) -> Result<NewKey, VaultError> {
        let overlap = Millis::try_from(overlap.as_millis()).unwrap_or(Millis::MAX);
        self.write(move |tx| rotate_key(tx, &name, overlap)).await
    }
}
