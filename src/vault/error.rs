//! Errors of the vault.

use std::io;
use std::path::PathBuf;

use super::KeySource;
use super::storage::{Location, StorageError};

/// Why an operation failed, in the terms of the Secrets Manager API. The texts are
/// those of AWS where AWS has one, because tools match on them. No variant ever
/// holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("{0}")]
    ResourceNotFound(String),
    #[error("{0}")]
    ResourceExists(String),
    #[error("{0}")]
    InvalidParameter(String),
    #[error("{0}")]
    InvalidRequest(String),
    /// The service model forbids it: a length, a range, a word.
    #[error("{0}")]
    Validation(String),
    #[error("{0}")]
    InvalidNextToken(String),
    #[error("{0}")]
    LimitExceeded(String),
    #[error("{0}")]
    DecryptionFailure(String),
    /// Another process held the file for too long. Another try may help.
    #[error("{0}")]
    Busy(String),
    /// The file is damaged, the disk is full, the system gave no randomness.
    #[error("{0}")]
    Internal(String),
}

impl VaultError {
    /// The `__type` of the error in the API.
    pub fn aws_type(&self) -> &'static str {
        match self {
            Self::ResourceNotFound(_) => "ResourceNotFoundException",
            Self::ResourceExists(_) => "ResourceExistsException",
            Self::InvalidParameter(_) => "InvalidParameterException",
            Self::InvalidRequest(_) => "InvalidRequestException",
            Self::Validation(_) => "ValidationException",
            Self::InvalidNextToken(_) => "InvalidNextTokenException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::DecryptionFailure(_) => "DecryptionFailure",
            Self::Busy(_) | Self::Internal(_) => "InternalServiceError",
        }
    }

    pub(super) fn no_secret() -> Self {
        Self::ResourceNotFound("Secrets Manager can't find the specified secret.".into())
    }

    pub(super) fn no_version(version: &str) -> Self {
        Self::ResourceNotFound(format!(
            "Secrets Manager can't find the specified secret value for VersionId: {version}"
        ))
    }

    pub(super) fn no_stage(label: &str) -> Self {
        Self::ResourceNotFound(format!(
            "Secrets Manager can't find the specified secret value for staging label: {label}"
        ))
    }

    pub(super) fn key_keeps_changing() -> Self {
        Self::Busy(
            "the master key of the store changed several times during this operation; try again"
                .into(),
        )
    }

    pub(super) fn marked_for_deletion() -> Self {
        Self::InvalidRequest(
            "You can't perform this operation on the secret because it was marked for deletion."
                .into(),
        )
    }
}

/// Why a vault could not be opened. Nothing was overwritten.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the {key} is missing, but the store {database} holds values sealed with it; \
         put the key back from its backup"
    )]
    KeyMissing { key: KeySource, database: Location },
    #[error(
        "there is no key for the store in the {0}, and pgvalet cannot put one there; make one with \
         `openssl rand -base64 32`, and name it with --to where it is to replace another"
    )]
    KeyUnset(KeySource),
    #[error(
        "the {key} is missing, and the store {database} was made with the key {fingerprint}; copy \
         that key from the replica that has it, or from its backup: no other opens the store"
    )]
    KeyElsewhere {
        key: KeySource,
        database: Location,
        fingerprint: String,
    },
    #[error(
        "the key in the {key} is {ours}, and the store {database} was made with the key {theirs}; \
         all replicas need the same key: copy it from the one that has it"
    )]
    KeyOther {
        key: KeySource,
        database: Location,
        ours: String,
        theirs: String,
    },
    #[error("there is no store at {0} yet; `pgvalet secret create NAME` makes it")]
    None(Location),
    #[error(
        "the key file {0} can be read by others than its owner (mode {1:04o}); run: chmod 600 {0}"
    )]
    KeyExposed(PathBuf, u32),
    #[error(
        "the {0} holds no key; it must be 32 bytes in base64 and nothing else, \
         as `openssl rand -base64 32` prints them"
    )]
    KeyMalformed(String),
    #[error(
        "the key in the {key} does not open the store {database}; \
         point [store] key or key_file at the key this store was made with"
    )]
    KeyWrong { key: KeySource, database: Location },
    #[error(
        "the master key needs AWS KMS key {key_id}, but {problem}; \
         check AWS_REGION, the credentials and the policy of the key"
    )]
    Kms { key_id: String, problem: String },
    #[error(
        "{what} in {database} cannot be decrypted: it was altered; restore the store from a \
         backup, or delete the secret"
    )]
    Altered { database: Location, what: String },
    #[error("{0} exists; name another file, or say --force to replace it")]
    Exists(PathBuf),
    #[error(
        "the store {0} is in use by another process; stop every pgvalet that has it open, then try \
         again"
    )]
    InUse(Location),
    #[error(
        "{0} is not a pgvalet store, or its beginning is damaged; point [store] path at the right \
         file, restore it from a backup, or name a file that does not exist yet for a new store"
    )]
    NotAStore(Location),
    #[error("the store {0} is damaged ({1}); restore it from a backup")]
    Damaged(Location, String),
    #[error(
        "the store {0} was written by a newer pgvalet (its layout is {1}, this one knows {2}); \
         run the newer pgvalet"
    )]
    Newer(Location, i64, i64),
    #[error("another process holds the store {0} locked; try again when it has finished")]
    Busy(Location),
    #[error("cannot {doing} {path} ({source}); check the path and that pgvalet's user may use it")]
    Io {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("opening the store {0} did not finish: {1}")]
    Unfinished(Location, String),
    #[error("the system gave no random bytes for a new key; try again")]
    NoRandomness,
    #[error("cannot open the store {0}: {1}")]
    Storage(Location, StorageError),
}
