//! What a rotation reports while it runs.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use crate::audit::{AuditError, CredentialRef, Outcome, Record};
use crate::secret::{Credential, SecretId, VersionId};

/// The steps of a rotation, named like those of rotation functions in Secrets
/// Manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Log in, take the lock, and find what an earlier attempt left.
    Begin,
    /// A new password, in the store.
    Create,
    /// The new password, in the database.
    Set,
    /// The new password logs in and may do what the old one may.
    Test,
    /// This replica uses the new version before the others do.
    Canary,
    /// AWSCURRENT moves.
    Finish,
    /// The old password is refused.
    Verify,
    /// Old sessions are ended, where that was asked for.
    Terminate,
}

impl Step {
    pub fn name(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Create => "createSecret",
            Self::Set => "setSecret",
            Self::Test => "testSecret",
            Self::Canary => "canary",
            Self::Finish => "finishSecret",
            Self::Verify => "verify",
            Self::Terminate => "terminate",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    Done,
    /// An earlier attempt had done the step.
    Skipped,
    Failed,
}

impl StepOutcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// The end of a step. No field holds a password.
#[derive(Debug, Clone)]
pub struct StepReport {
    pub secret: SecretId,
    /// The version that will become the current one, once there is one.
    pub version: Option<VersionId>,
    pub arn: Option<Arc<str>>,
    pub user: Option<String>,
    pub step: Step,
    pub outcome: StepOutcome,
    /// A sentence for people.
    pub detail: String,
}

impl StepReport {
    /// The record of this step for the audit log.
    pub fn record(&self) -> Record {
        let outcome = match self.outcome {
            StepOutcome::Failed => Outcome::Failure,
            StepOutcome::Done | StepOutcome::Skipped => Outcome::Success,
        };
        Record::rotation_step(self.step.name(), outcome, &self.detail, self.credential())
    }

    /// The record that the step begins.
    pub fn record_of_begin(&self) -> Record {
        Record::rotation_begin(self.step.name(), self.credential())
    }

    fn credential(&self) -> CredentialRef {
        CredentialRef {
            secret: self.secret.as_str().into(),
            arn: self.arn.clone().unwrap_or_else(|| "".into()),
            version: self.version.as_ref().map_or("", VersionId::as_str).into(),
            stages: Vec::new(),
            user: self.user.as_deref().unwrap_or_default().into(),
        }
    }
}

/// An attempt that has ended.
#[derive(Debug)]
pub struct RotationReport {
    pub secret: SecretId,
    pub began: SystemTime,
    pub ended: SystemTime,
    /// The steps of the rotation, and when each ended.
    pub steps: Vec<(SystemTime, StepReport)>,
    /// Why the attempt failed.
    pub failed: Option<String>,
}

/// What [`Observer::before`] returns.
pub type Admitted<'a> = Pin<Box<dyn Future<Output = Result<(), AuditError>> + Send + 'a>>;

/// What [`Observer::try_out`] returns.
pub type Trial<'a> = Pin<Box<dyn Future<Output = Option<Result<String, String>>> + Send + 'a>>;

/// Receives the reports of steps.
pub trait Observer: Send + Sync {
    /// Called before the database gets a new password.
    ///
    /// # Errors
    /// It cannot be recorded, and must not happen then.
    fn before(&self, report: &StepReport) -> Admitted<'_>;

    /// Called when a step has ended, before the next one begins.
    fn step(&self, report: &StepReport);

    /// Has the clients of this process served with a version that is not AWSCURRENT yet, and
    /// says how that went; `None`: it has no clients with the secret.
    ///
    /// # Errors
    /// Why the version is not fit.
    fn try_out<'a>(&'a self, _credential: &'a Arc<Credential>) -> Trial<'a> {
        Box::pin(async { None })
    }

    /// Whether they are served with it now.
    fn is_trying(&self, _secret: &SecretId, _version: &VersionId) -> bool {
        false
    }

    /// Has them served as the labels say again.
    fn put_back(&self, _credential: &Credential) {}

    /// Called when an attempt has ended.
    fn attempt(&self, _report: &RotationReport) {}
}
