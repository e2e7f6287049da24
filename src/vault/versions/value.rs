//! Values, and how they are sealed for their version.

use zeroize::Zeroizing;

use crate::vault::VaultError;
use crate::vault::envelope::{self, Refused, Sealed};
use crate::vault::secrets::Secret;
use crate::vault::tx::Tx;

/// The value of a version. Deliberately without `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    Text(Zeroizing<String>),
    Binary(Zeroizing<Vec<u8>>),
}

impl Value {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// One byte for the kind, then the bytes; both are sealed.
    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut plain = Zeroizing::new(Vec::with_capacity(1 + self.bytes().len()));
        plain.push(match self {
            Self::Text(_) => b'T',
            Self::Binary(_) => b'B',
        });
        plain.extend_from_slice(self.bytes());
        plain
    }

    fn decode(plain: &[u8]) -> Option<Self> {
        match plain.split_first()? {
            (b'T', text) => Some(Self::Text(Zeroizing::new(
                std::str::from_utf8(text).ok()?.to_owned(),
            ))),
            (b'B', bytes) => Some(Self::Binary(Zeroizing::new(bytes.to_vec()))),
            _ => None,
        }
    }
}

/// The value of the version with this token.
pub(super) fn open(
    tx: &Tx<'_>,
    secret: &Secret,
    token: &str,
    sealed: &Sealed,
) -> Result<Value, VaultError> {
    envelope::open(tx.master, &secret.arn, token, sealed)
        .ok()
        .and_then(|plain| Value::decode(&plain))
        .ok_or_else(|| {
            VaultError::DecryptionFailure(format!(
                "version {token} of the secret {} can't be decrypted: it was altered, or sealed \
                 under another key; restore the store from a backup or put a new version",
                secret.name
            ))
        })
}

/// Seals a value for the version with this token.
pub(super) fn seal(
    tx: &Tx<'_>,
    secret: &Secret,
    token: &str,
    value: &Value,
) -> Result<Sealed, VaultError> {
    envelope::seal(tx.master, &secret.arn, token, &value.encode()).map_err(|Refused| {
        VaultError::Internal("the system gave no random bytes for a data key; try again".into())
    })
}
