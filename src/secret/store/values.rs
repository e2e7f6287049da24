//! What is asked of a store, and what it answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use crate::secret::VersionId;

pub const AWSCURRENT: &str = "AWSCURRENT";
pub const AWSPENDING: &str = "AWSPENDING";
pub const AWSPREVIOUS: &str = "AWSPREVIOUS";

/// Versions that carry labels, each with its labels.
pub type Labels = BTreeMap<VersionId, Vec<String>>;

/// The version that a label points at.
pub fn version_with<'a>(labels: &'a Labels, label: &str) -> Option<&'a VersionId> {
    let mut versions = labels.iter();
    versions
        .find(|(_, labels)| labels.iter().any(|l| l == label))
        .map(|(version, _)| version)
}

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
    /// SecretString. A store refuses to return SecretBinary here.
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
    /// Versions that carry at least one label; the API shows no others.
    pub versions: Labels,
    /// What RotateSecret saved. Only `describe` fills it in, not `list`.
    pub rotation: Option<Box<RotationRules>>,
}

/// How a secret is rotated, as its store has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RotationRules {
    /// RotationEnabled. RotateSecret sets it, CancelRotateSecret clears it.
    pub enabled: bool,
    /// Who rotates it instead of pgvalet: the service that owns the secret, or,
    /// while rotation is enabled, the function of RotationLambdaARN.
    pub by: Option<String>,
    /// AutomaticallyAfterDays. A secret has this or `expression`, not both.
    pub after_days: Option<u64>,
    /// ScheduleExpression.
    pub expression: Option<String>,
    /// Duration: how long a rotation window is, `3h`.
    pub duration: Option<String>,
    pub last_rotated: Option<SystemTime>,
}

impl Description {
    /// The version that a label points at.
    pub fn version_with(&self, label: &str) -> Option<&VersionId> {
        version_with(&self.versions, label)
    }
}

/// A secret to be created (CreateSecret).
pub struct NewSecret {
    pub name: String,
    pub description: Option<String>,
    pub value: Zeroizing<String>,
    /// ClientRequestToken; made up when absent.
    pub token: Option<VersionId>,
}

/// How a secret is deleted (DeleteSecret).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Recoverable for 7 to 30 days.
    Window { days: u32 },
    /// ForceDeleteWithoutRecovery.
    Now,
}

/// What a random password is made of (GetRandomPassword).
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
    /// The defaults of GetRandomPassword.
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
