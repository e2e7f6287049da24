//! Tags of secrets: TagResource, UntagResource.

use super::VaultError;
use super::secrets::Secret;
use super::tx::Tx;

/// How many tags a secret may have.
const TAG_LIMIT: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

/// The tags of a secret, in alphabetical order.
pub fn of(tx: &Tx<'_>, secret: i64) -> Result<Vec<Tag>, VaultError> {
    Ok(tx.rows.tags_of(secret)?)
}

/// Adds tags. A key that is there already gets the new value.
pub fn add(tx: &Tx<'_>, secret: &Secret, tags: &[Tag]) -> Result<(), VaultError> {
    for tag in tags {
        if tag.key.to_ascii_lowercase().starts_with("aws:") {
            return Err(VaultError::InvalidParameter(
                "Tag keys that start with aws: are reserved for AWS.".into(),
            ));
        }
        tx.rows.set_tag(secret.id, tag)?;
    }
    if of(tx, secret.id)?.len() > TAG_LIMIT {
        return Err(VaultError::InvalidParameter(format!(
            "A secret can have at most {TAG_LIMIT} tags."
        )));
    }
    Ok(())
}

/// Removes tags. It is no error if a key is not there.
pub fn remove(tx: &Tx<'_>, secret: &Secret, keys: &[String]) -> Result<(), VaultError> {
    for key in keys {
        tx.rows.remove_tag(secret.id, key)?;
    }
    Ok(())
}
