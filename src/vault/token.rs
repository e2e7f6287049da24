//! ClientRequestToken: it makes a repeated request harmless, and becomes the
//! VersionId.

use super::VaultError;
use super::secrets::Secret;

/// The token of a request, or a new one.
pub fn given_or_new(token: Option<&str>) -> Result<String, VaultError> {
    match token {
        None => Ok(uuid::Uuid::new_v4().to_string()),
        Some(token) if (32..=64).contains(&token.chars().count()) => Ok(token.to_owned()),
        Some(_) => Err(VaultError::InvalidParameter(
            "ClientRequestToken must be 32-64 characters long.".into(),
        )),
    }
}

/// The error for a token that belongs to a version with another value.
pub fn in_use(token: &str, secret: &Secret) -> VaultError {
    VaultError::ResourceExists(format!(
        "You can't use ClientRequestToken {token} because that value is already in use for a \
         version of secret {}.",
        secret.arn
    ))
}
