//! What pgvalet needs of a place that keeps secrets.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;
use zeroize::Zeroizing;

use super::{SecretId, VersionId};

pub const AWSCURRENT: &str = "AWSCURRENT";
pub const AWSPENDING: &str = "AWSPENDING";
pub const AWSPREVIOUS: &str = "AWSPREVIOUS";

pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

pub type CurrentFuture<'a> = Pin<Box<dyn Future<Output = Option<VersionId>> + Send + 'a>>;

/// Which version of a secret is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    Stage(String),
    Version(VersionId),
}

impl Which {
    pub fn current() -> Self {
        Self::Stage(AWSCURRENT.to_owned())
    }
}

/// One version with its value. Deliberately without `Debug`.
pub struct SecretValue {
    pub arn: Arc<str>,
    pub name: Arc<str>,
    pub version: VersionId,
    pub stages: Vec<String>,
    pub created: Option<SystemTime>,
    /// SecretString; a binary secret is refused as malformed where text is needed.
    pub value: Zeroizing<String>,
}

/// A secret without its values (DescribeSecret).
#[derive(Debug, Clone)]
pub struct Description {
    pub arn: Arc<str>,
    pub name: Arc<str>,
    pub description: Option<String>,
    pub created: Option<SystemTime>,
    pub last_changed: Option<SystemTime>,
    /// Set while the secret waits for its deletion.
    pub deleted: Option<SystemTime>,
    /// Versions that carry at least one label, as the API shows them.
    pub versions: BTreeMap<VersionId, Vec<String>>,
    /// What RotateSecret left; only DescribeSecret tells.
    pub rotation: Option<Box<RotationRules>>,
}

/// How a store says that a secret is rotated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RotationRules {
    /// RotationEnabled: CancelRotateSecret clears it.
    pub enabled: bool,
    /// Who else rotates it: the service that owns the secret, or, while rotation
    /// is enabled, the function of RotationLambdaARN.
    pub by: Option<String>,
    /// Of AutomaticallyAfterDays and ScheduleExpression there is one.
    pub after_days: Option<u64>,
    pub expression: Option<String>,
    /// Duration: the length of windows, `3h`.
    pub duration: Option<String>,
    pub last_rotated: Option<SystemTime>,
}

impl Description {
    /// The version a label sits on.
    pub fn staged(&self, label: &str) -> Option<&VersionId> {
        self.versions
            .iter()
            .find(|(_, labels)| labels.iter().any(|l| l == label))
            .map(|(version, _)| version)
    }
}

/// CreateSecret.
pub struct NewSecret {
    pub name: String,
    pub description: Option<String>,
    pub value: Zeroizing<String>,
    /// ClientRequestToken; made up when absent.
    pub token: Option<VersionId>,
}

/// How DeleteSecret deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Recoverable for 7 to 30 days.
    Window { days: u32 },
    /// ForceDeleteWithoutRecovery.
    Now,
}

/// GetRandomPassword.
#[derive(Debug, Clone)]
pub struct RandomPassword {
    pub length: u32,
    pub exclude_characters: String,
    pub exclude_numbers: bool,
    pub exclude_punctuation: bool,
    pub exclude_uppercase: bool,
    pub exclude_lowercase: bool,
    pub include_space: bool,
    pub require_each_included_type: bool,
}

impl Default for RandomPassword {
    /// The API's defaults.
    fn default() -> Self {
        Self {
            length: 32,
            exclude_characters: String::new(),
            exclude_numbers: false,
            exclude_punctuation: false,
            exclude_uppercase: false,
            exclude_lowercase: false,
            include_space: false,
            require_each_included_type: true,
        }
    }
}

/// Why a store did not do what was asked. No variant ever holds a value.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// ResourceNotFoundException: no such secret, version or label.
    #[error("{0}")]
    NotFound(String),
    /// ResourceExistsException.
    #[error("{0}")]
    Exists(String),
    /// InvalidParameterException, ValidationException.
    #[error("{0}")]
    InvalidParameter(String),
    /// InvalidRequestException: right in form, wrong in the state the secret is in.
    #[error("{0}")]
    InvalidRequest(String),
    /// DecryptionFailure: the key does not open the value, or the value was altered.
    #[error("{0}")]
    Decryption(String),
    /// AccessDeniedException, or credentials that the store does not accept.
    #[error("{0}")]
    Denied(String),
    /// The store could not be reached or did not answer; asking again may help.
    #[error("{0}")]
    Unavailable(String),
    /// The store's own fault: its file is damaged, its disk is full.
    #[error("{0}")]
    Internal(String),
}

impl StoreError {
    pub(super) fn binary(id: &SecretId) -> Self {
        Self::InvalidRequest(format!(
            "{id}: the secret holds SecretBinary, but pgvalet needs text; store it as SecretString"
        ))
    }

    /// Whether the same question may get an answer later, with nobody changing
    /// anything. Gates the serving of a last known good version.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Internal(_))
    }

    /// A short word for metrics and records.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::Exists(_) => "exists",
            Self::InvalidParameter(_) => "invalid_parameter",
            Self::InvalidRequest(_) => "invalid_request",
            Self::Decryption(_) => "decryption",
            Self::Denied(_) => "denied",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
        }
    }
}

/// A place that keeps secrets: AWS Secrets Manager, or the embedded store.
pub trait SecretStore: Send + Sync + 'static {
    /// GetSecretValue.
    fn get<'a>(&'a self, id: &'a SecretId, which: &'a Which) -> StoreFuture<'a, SecretValue>;

    /// DescribeSecret.
    fn describe<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Description>;

    /// The version of AWSCURRENT, from a store that answers for many secrets at
    /// once; the answer may take seconds. `None`: ask for this one alone.
    fn current<'a>(&'a self, _: &'a SecretId) -> CurrentFuture<'a> {
        Box::pin(async { None })
    }

    /// ListSecretVersionIds with deprecated versions: those that no label
    /// points at as well, the newest first. A store that cannot tell names the
    /// labelled ones.
    fn versions<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Vec<VersionId>> {
        Box::pin(async move { Ok(self.describe(id).await?.versions.into_keys().collect()) })
    }

    /// CreateSecret; the id of its first version.
    fn create(&self, secret: NewSecret) -> StoreFuture<'_, VersionId>;

    /// PutSecretValue.
    fn put<'a>(
        &'a self,
        id: &'a SecretId,
        value: Zeroizing<String>,
        stages: Vec<String>,
        token: Option<VersionId>,
    ) -> StoreFuture<'a, VersionId>;

    /// ListSecrets, all pages, ordered by name.
    fn list(&self) -> StoreFuture<'_, Vec<Description>>;

    /// UpdateSecretVersionStage.
    fn move_stage<'a>(
        &'a self,
        id: &'a SecretId,
        label: &'a str,
        to: Option<VersionId>,
        from: Option<VersionId>,
    ) -> StoreFuture<'a, ()>;

    /// GetRandomPassword.
    fn random_password(&self, options: RandomPassword) -> StoreFuture<'_, Zeroizing<String>>;

    /// DeleteSecret; when it will be gone.
    fn delete<'a>(&'a self, id: &'a SecretId, how: Deletion)
    -> StoreFuture<'a, Option<SystemTime>>;

    /// RestoreSecret.
    fn restore<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, ()>;

    /// GetResourcePolicy.
    fn policy<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, Option<String>>;

    /// PutResourcePolicy.
    fn put_policy<'a>(
        &'a self,
        id: &'a SecretId,
        text: String,
        block_public: bool,
    ) -> StoreFuture<'a, ()>;

    /// DeleteResourcePolicy.
    fn delete_policy<'a>(&'a self, id: &'a SecretId) -> StoreFuture<'a, ()>;

    /// ValidateResourcePolicy: names of checks that failed, and why.
    fn validate_policy<'a>(
        &'a self,
        id: &'a SecretId,
        text: String,
    ) -> StoreFuture<'a, Vec<(String, String)>>;

    /// A store that can tell when anything in it changed gives a counter that
    /// moves at every change, by whatever process; others are only polled.
    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }
}
