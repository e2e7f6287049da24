//! Why a command did not do what it was asked, and the exit code that says so. The table of exit
//! codes is in docs/OPERATIONS.md.

use std::io;

use super::{demo, secret};
use crate::admin::FetchError;
use crate::audit::Unproved;
use crate::config::ConfigError;
use crate::secret::StoreError;
use crate::vault::VaultError;

/// It did not do what it was asked, or its answer is no: something is wrong, or a client is
/// denied.
const FAILED: u8 = 1;
/// It has to be asked differently: wrong usage, a wrong configuration, or the name of something
/// that there is not.
const ASKED_WRONGLY: u8 = 2;
/// Whoever read its output stopped before the end, so that what it was to say, and perhaps to do,
/// is incomplete: what a shell shows for a program that SIGPIPE has ended.
const NOT_READ: u8 = 128 + 13;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Wrong usage that shows only after the arguments were read, or the name of something that
    /// there is not.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Failed(String),
    /// The output already says what is wrong.
    #[error("")]
    Shown,
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    #[error(transparent)]
    Secret(#[from] secret::SecretCommandError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl Failure {
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) => ASKED_WRONGLY,
            Self::Secret(e) if e.is_about_the_question() => ASKED_WRONGLY,
            _ if self.is_not_read() => NOT_READ,
            Self::Secret(_) | Self::Demo(_) | Self::Failed(_) | Self::Shown | Self::Io(_) => FAILED,
        }
    }

    /// Whether nobody reads the output any more, as in `pgvalet … | head`: no reason to say
    /// anything.
    pub fn is_not_read(&self) -> bool {
        let error = match self {
            Self::Io(error) | Self::Secret(secret::SecretCommandError::Write(error)) => error,
            _ => return false,
        };
        error.kind() == io::ErrorKind::BrokenPipe
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Unknown(_) => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(text) | StoreError::InvalidParameter(text) => Self::Usage(text),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::ResourceNotFound(text)
            | VaultError::InvalidParameter(text)
            | VaultError::Validation(text) => Self::Usage(text),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<Unproved> for Failure {
    fn from(error: Unproved) -> Self {
        match error {
            Unproved::Missing(_) => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}
