//! One rotation, from whatever it finds to a new current version.
//!
//! There is no journal beside the store: AWSPENDING is the journal. A password
//! is in the store before it is in the database, and its version loses
//! AWSPENDING only when it is the current one, or when it is certain that the
//! database does not have that password. So a rotator that comes after a crash
//! finds out which step was the last, by the label and by which version logs in:
//!
//! | AWSPENDING | logs in | next step |
//! |---|---|---|
//! | none | – | createSecret with a new token |
//! | without a value | – | createSecret with that token |
//! | with a value | no | setSecret |
//! | with a value | yes | testSecret, the canary, finishSecret |
//!
//! An attempt that *fails* (and does not crash) gives up its version if that
//! does not log in, so that the next attempt makes a new password.
//!
//! Among rotators of pgvalet an advisory lock decides who goes on
//! ([`lock`](super::lock)); with rotators of another kind the label does.

mod begin;
mod canary;
mod changer;
mod create;
mod finish;
mod give_up;
pub(super) mod seats;
mod set;
mod test;
mod verify;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::error::RotationError;
use super::ground::Version;
use super::password::Form;
use super::plan::Plan;
use super::report::{Observer, RotationReport, Step, StepOutcome, StepReport};
use super::rights::Rights;
use super::sql::Session;
use crate::secret::{Rotatable, Source, VersionId};
use crate::upstream::Target;
use begin::Begun;

/// Characters that are in no new password. The rotation functions of AWS exclude
/// the same, because they break URLs, shell commands and JSON that somebody
/// wrote carelessly.
const EXCLUDED: &str = ":/@\"'\\";
/// The time between two looks at a store or a server that may not have caught up.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// The number of looks at something that moves: a rotator that does not use the lock may be at
/// work.
const LOOKS: usize = 10;
/// How long to wait for another rotator to release the lock, unless the plan
/// says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How a rotation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Rotated(VersionId),
    /// Another rotator was faster, with this version.
    Elsewhere(VersionId),
}

impl Ending {
    pub fn version(&self) -> &VersionId {
        match self {
            Self::Rotated(version) | Self::Elsewhere(version) => version,
        }
    }
}

/// Carries out one plan.
pub struct Rotator<'a> {
    /// The store of the secret.
    store: &'a dyn Rotatable,
    /// All stores: an administrator's secret may be in another one than the secret.
    stores: &'a dyn Source,
    observer: &'a dyn Observer,
    plan: &'a Plan,
    /// The ARN of the secret, set by the first look.
    arn: OnceLock<Arc<str>>,
    /// What was reported of the attempt, and when.
    steps: Mutex<Vec<(SystemTime, StepReport)>>,
}

/// What stays the same during an attempt.
struct Attempt {
    target: Arc<Target>,
    /// The user of the current version.
    source: String,
    /// The user that the new version is for; with a single user it is `source`.
    user: String,
    /// The current version, as it was when the attempt began.
    old: Version,
    /// The session that holds the lock and changes the password.
    session: Session,
    /// What the current user may do.
    rights: Rights,
    form: Form,
}

/// The step that comes next. `changed_at` is the server's time at which the
/// password changed, where this attempt changed it.
enum State {
    /// A new version is created, with the token of one that was reserved, if there is one.
    Create {
        token: Option<VersionId>,
    },
    Set {
        new: Box<Version>,
    },
    Test {
        new: Box<Version>,
        changed_at: Option<String>,
    },
    Canary {
        new: Box<Version>,
        changed_at: Option<String>,
    },
    Finish {
        new: Box<Version>,
        changed_at: Option<String>,
    },
    Verify {
        new: Box<Version>,
        changed_at: Option<String>,
    },
    Done {
        version: VersionId,
    },
}

impl State {
    fn step(&self) -> Step {
        match self {
            Self::Create { .. } => Step::Create,
            Self::Set { .. } => Step::Set,
            Self::Test { .. } => Step::Test,
            Self::Canary { .. } => Step::Canary,
            Self::Finish { .. } => Step::Finish,
            Self::Verify { .. } | Self::Done { .. } => Step::Verify,
        }
    }

    fn version(&self) -> Option<&VersionId> {
        match self {
            Self::Create { token } => token.as_ref(),
            Self::Set { new }
            | Self::Test { new, .. }
            | Self::Canary { new, .. }
            | Self::Finish { new, .. }
            | Self::Verify { new, .. } => Some(&new.credential.version),
            Self::Done { version } => Some(version),
        }
    }
}

impl<'a> Rotator<'a> {
    pub fn new(
        store: &'a dyn Rotatable,
        stores: &'a dyn Source,
        observer: &'a dyn Observer,
        plan: &'a Plan,
    ) -> Self {
        Self {
            store,
            stores,
            observer,
            plan,
            arn: OnceLock::new(),
            steps: Mutex::default(),
        }
    }

    /// Rotates, or completes what an earlier attempt began.
    ///
    /// # Errors
    /// [`RotationError`]. Afterwards the current version logs in, or AWSPENDING
    /// does and the next attempt completes the rotation.
    pub async fn rotate(&self) -> Result<Ending, RotationError> {
        let began = SystemTime::now();
        let result = self.attempt().await;
        self.observer.attempt(&RotationReport {
            secret: self.plan.secret.clone(),
            began,
            ended: SystemTime::now(),
            steps: std::mem::take(&mut *self.steps.lock()),
            failed: result.as_ref().err().map(ToString::to_string),
        });
        result
    }

    async fn attempt(&self) -> Result<Ending, RotationError> {
        let (mut attempt, state) = match self.begin().await {
            Ok(Begun::Attempt(attempt, state)) => (*attempt, state),
            Ok(Begun::Elsewhere(version)) => return Ok(Ending::Elsewhere(version)),
            Err(e) => return Err(self.failed(Step::Begin, None, None, e)),
        };
        let result = self.run(&mut attempt, state).await;
        attempt.session.close().await;
        result.map(Ending::Rotated)
    }

    async fn run(
        &self,
        attempt: &mut Attempt,
        mut state: State,
    ) -> Result<VersionId, RotationError> {
        loop {
            let (step, version) = (state.step(), state.version().cloned());
            let pending = match &state {
                State::Set { new } | State::Test { new, .. } | State::Canary { new, .. } => {
                    Some(new.credential.clone())
                }
                _ => None,
            };
            // Used here already: the labels decide again if they do not move to it.
            let tried = match &state {
                State::Finish { new, .. } if self.plan.canary > 0 => Some(new.credential.clone()),
                _ => None,
            };
            let next = match state {
                State::Create { token } => self.create(attempt, token).await,
                State::Set { new } => self.set(attempt, new).await,
                State::Test { new, changed_at } => self.test(attempt, new, changed_at).await,
                State::Canary { new, changed_at } => self.canary(attempt, new, changed_at).await,
                State::Finish { new, changed_at } => self.finish(attempt, new, changed_at).await,
                State::Verify { new, changed_at } => self.verify(attempt, new, changed_at).await,
                State::Done { version } => return Ok(version),
            };
            state = match next {
                Ok(next) => next,
                Err(e) => {
                    if let Some(tried) = &tried {
                        self.observer.put_back(tried);
                    }
                    let user = Some(attempt.user.clone());
                    let mut e = self.failed(step, version, user, e);
                    if let Some(pending) = pending
                        && !e.is_transient()
                    {
                        e = self.give_up(attempt, &pending, e).await;
                    }
                    return Err(e);
                }
            };
        }
    }

    fn failed(
        &self,
        step: Step,
        version: Option<VersionId>,
        user: Option<String>,
        error: RotationError,
    ) -> RotationError {
        let detail = error.to_string();
        self.report(
            step,
            StepOutcome::Failed,
            version.as_ref(),
            user.as_ref(),
            detail,
        );
        error
    }

    fn report(
        &self,
        step: Step,
        outcome: StepOutcome,
        version: Option<&VersionId>,
        user: Option<&String>,
        detail: String,
    ) {
        let report = self.told(step, outcome, version, user, detail);
        self.observer.step(&report);
        self.steps.lock().push((SystemTime::now(), report));
    }

    fn told(
        &self,
        step: Step,
        outcome: StepOutcome,
        version: Option<&VersionId>,
        user: Option<&String>,
        detail: String,
    ) -> StepReport {
        StepReport {
            secret: self.plan.secret.clone(),
            version: version.cloned(),
            arn: self.arn.get().cloned(),
            user: user.cloned(),
            step,
            outcome,
            detail,
        }
    }
}
