//! Who may call the API: principals, their policies, and their access keys.
//! Secret keys are sealed like values, and not hashed, because checking a
//! signature takes the key itself.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::envelope::{self, Sealed};
use super::policy::{Kind, Policy};
use super::storage::PrincipalRow;
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

fn read(row: PrincipalRow) -> Result<Principal, VaultError> {
    let unreadable = |e| VaultError::Internal(format!("a principal cannot be read: {e}"));
    Ok(Principal {
        id: row.id,
        name: row.name,
        unique_id: row.unique_id,
        policies: serde_json::from_str(&row.policies).map_err(unreadable)?,
        tags: serde_json::from_str(&row.tags).map_err(unreadable)?,
        created: row.created,
        disabled: row.disabled,
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
    let (policies, tags) = (json(&policies)?, json(tags)?);
    tx.rows
        .add_principal(name, &unique_id, &policies, &tags, tx.now)?;
    let principal = find(tx, name)?.ok_or_else(|| no_such(name))?;
    let key = new_key(tx, &principal)?;
    Ok((principal, key))
}

fn new_key(tx: &Tx<'_>, principal: &Principal) -> Result<NewKey, VaultError> {
    let id = format!("AKIA{}", random::alphanumeric(16)?.to_ascii_uppercase());
    let secret = Zeroizing::new(random::alphanumeric(40)?);
    let sealed = envelope::seal(tx.master, &principal.arn(), &id, secret.as_bytes())
        .map_err(|_| VaultError::Internal("the system gave no random bytes; try again".into()))?;
    tx.rows
        .add_access_key(&id, principal.id, tx.now, None, &sealed)?;
    Ok(NewKey { id, secret })
}

pub fn find(tx: &Tx<'_>, name: &str) -> Result<Option<Principal>, VaultError> {
    tx.rows.principal_named(name)?.map(read).transpose()
}

pub fn get(tx: &Tx<'_>, name: &str) -> Result<Principal, VaultError> {
    find(tx, name)?.ok_or_else(|| no_such(name))
}

/// All principals with their keys, ordered by name.
pub fn list(tx: &Tx<'_>) -> Result<Vec<(Principal, Vec<KeyInfo>)>, VaultError> {
    let principals = tx.rows.principals()?.into_iter().map(|row| {
        let principal = read(row)?;
        let keys = tx.rows.access_keys(principal.id)?;
        Ok((principal, keys))
    });
    principals.collect()
}

/// Stops accepting the keys of a principal, or accepts them again.
pub fn set_disabled(tx: &Tx<'_>, name: &str, disabled: bool) -> Result<(), VaultError> {
    let principal = get(tx, name)?;
    let since = disabled.then_some(tx.now);
    Ok(tx.rows.set_disabled(principal.id, since)?)
}

pub fn set_policies(tx: &Tx<'_>, name: &str, policies: &[PolicyText]) -> Result<(), VaultError> {
    let principal = get(tx, name)?;
    Ok(tx.rows.set_policies(principal.id, &json(&policies)?)?)
}

/// Adds a key. Older ones are accepted for `overlap` longer; those that are no longer
/// accepted are removed.
pub fn rotate_key(tx: &Tx<'_>, name: &str, overlap: Millis) -> Result<NewKey, VaultError> {
    let principal = get(tx, name)?;
    let end = tx.now.saturating_add(overlap);
    tx.rows.expire_access_keys(principal.id, end, tx.now)?;
    new_key(tx, &principal)
}

/// The key with this id, if it is accepted.
pub fn by_key(tx: &Tx<'_>, key: &str) -> Result<Option<Found>, VaultError> {
    let Some((row, sealed)) = tx.rows.access_key(key, tx.now)? else {
        return Ok(None);
    };
    Ok(Some(Found {
        principal: read(row)?,
        sealed,
        key: key.to_owned(),
    }))
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
