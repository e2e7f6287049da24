//! One rotation, from whatever it finds to a new current version.
//!
//! There is no journal beside the store: AWSPENDING is the journal. A password
//! is in the store before it is in the database, and it leaves the label only
//! when it is the current one, or when it is certain that the database does not
//! have it. So whoever comes after a crash finds, by the label and by who logs
//! in, which step was the last:
//!
//! | AWSPENDING | it logs in | then |
//! |---|---|---|
//! | none | – | createSecret with a new token |
//! | without a value | – | createSecret with that token |
//! | with a value | no | setSecret |
//! | with a value | yes | testSecret, finishSecret |
//!
//! An attempt that *fails* (and does not crash) gives up its version if that
//! does not log in, so that the next attempt has a new password.
//!
//! Among rotators of pgvalet an advisory lock decides who goes on ([`lock`]);
//! with rotators of another kind it is the label.

mod changer;
mod steps;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::sleep;

use super::error::RotationError;
use super::ground::{Ground, Pending, Version, differs};
use super::lock::{self, Meeting};
use super::password::{Form, Md5};
use super::plan::{Plan, Strategy};
use super::report::{Listener, Step, StepOutcome, StepReport};
use super::rights::Rights;
use super::roles::{self, alternate};
use super::sql::Session;
use crate::secret::{Rotatable, VersionId};
use crate::upstream::Target;

/// What the functions of AWS exclude: characters that URLs, shells and JSON of
/// careless users trip over.
const EXCLUDED: &str = ":/@\"'\\";
/// Between two looks at a store or a server that may not have caught up.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// Looks at a ground that moves: another rotator may be at work without the lock.
const LOOKS: usize = 10;
/// How long to wait for the lock of another rotator.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How a rotation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Rotated(VersionId),
    /// Another rotator was faster; this is its version.
    Elsewhere(VersionId),
}

impl Ending {
    pub fn version(&self) -> &VersionId {
        match self {
            Self::Rotated(version) | Self::Elsewhere(version) => version,
        }
    }
}

pub struct Rotator<'a> {
    store: &'a dyn Rotatable,
    listener: &'a dyn Listener,
    plan: &'a Plan,
    /// Known once the secret was looked at.
    arn: OnceLock<Arc<str>>,
}

/// What does not change during an attempt.
struct Attempt {
    target: Arc<Target>,
    /// The user of the current version, and the one the new version is for.
    source: String,
    user: String,
    /// The current version, as it was when the attempt began.
    old: Version,
    /// Holds the lock, and changes the password.
    session: Session,
    /// What the current user may do.
    rights: Rights,
    form: Form,
}

/// Where an attempt stands.
enum State {
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
            Self::Finish { .. } => Step::Finish,
            Self::Verify { .. } | Self::Done { .. } => Step::Verify,
        }
    }

    fn version(&self) -> Option<&VersionId> {
        match self {
            Self::Create { token } => token.as_ref(),
            Self::Set { new }
            | Self::Test { new, .. }
            | Self::Finish { new, .. }
            | Self::Verify { new, .. } => Some(&new.credential.version),
            Self::Done { version } => Some(version),
        }
    }
}

impl<'a> Rotator<'a> {
    pub fn new(store: &'a dyn Rotatable, listener: &'a dyn Listener, plan: &'a Plan) -> Self {
        Self {
            store,
            listener,
            plan,
            arn: OnceLock::new(),
        }
    }

    /// Rotates, or completes what an earlier attempt began.
    ///
    /// # Errors
    /// [`RotationError`]. The current version logs in then, or AWSPENDING does
    /// and the next attempt completes it.
    pub async fn rotate(&self) -> Result<Ending, RotationError> {
        let mut state = State::Create { token: None };
        let mut attempt = match self.begin(&mut state).await {
            Ok(Some(attempt)) => attempt,
            Ok(None) => {
                let version = state.version().cloned();
                return Ok(Ending::Elsewhere(
                    version.unwrap_or_else(|| VersionId::new("")),
                ));
            }
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
                State::Set { new } | State::Test { new, .. } => Some(new.credential.clone()),
                _ => None,
            };
            let next = match state {
                State::Create { token } => self.create(attempt, token).await,
                State::Set { new } => self.set(attempt, new).await,
                State::Test { new, changed_at } => self.test(attempt, new, changed_at).await,
                State::Finish { new, changed_at } => self.finish(attempt, new, changed_at).await,
                State::Verify { new, changed_at } => self.verify(attempt, new, changed_at).await,
                State::Done { version } => return Ok(version),
            };
            state = match next {
                Ok(next) => next,
                Err(e) => {
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

    /// Looks, logs in, and waits for its turn. `None`: somebody else rotated
    /// meanwhile; `state` has the version.
    async fn begin(&self, state: &mut State) -> Result<Option<Attempt>, RotationError> {
        let plan = self.plan;
        let first = Ground::look(self.store, &plan.secret).await?;
        // Another rotator may have been faster than the decision to rotate.
        let before = plan.instead_of.clone();
        let before = before.unwrap_or_else(|| first.version().clone());
        let _ = self.arn.set(first.current.credential.arn.clone());
        if let Some(by) = first.left_to {
            return Err(RotationError::LeftTo(plan.secret.clone(), by));
        }
        let mut ground = first;
        for look in 1.. {
            match self.enter(&ground).await {
                Ok((attempt, next)) => {
                    // The labels may have moved while the lock was waited for.
                    let now = Ground::look(self.store, &plan.secret).await?;
                    if *now.version() != before && !plan.insist {
                        attempt.session.close().await;
                        let version = now.version().clone();
                        self.report(
                            Step::Begin,
                            StepOutcome::Skipped,
                            Some(&version),
                            None,
                            "another rotator was faster; its version is the current one".to_owned(),
                        );
                        *state = State::Done { version };
                        return Ok(None);
                    }
                    if same(&now, &ground) {
                        *state = next;
                        return Ok(Some(attempt));
                    }
                    attempt.session.close().await;
                    ground = now;
                }
                // In the midst of another's rotation nobody may log in by the
                // labels that were just read.
                Err(RotationError::NobodyLogsIn { .. }) if look < LOOKS => {
                    sleep(PAUSE).await;
                    ground = Ground::look(self.store, &plan.secret).await?;
                }
                Err(e) => return Err(e),
            }
            if look > 10 * LOOKS {
                break;
            }
        }
        let found = "it moves under every look".to_owned();
        Err(RotationError::Busy(plan.secret.clone(), found))
    }

    /// Proves that the secret belongs to the role, opens the session that will
    /// change it, and takes the lock.
    async fn enter(&self, ground: &Ground) -> Result<(Attempt, State), RotationError> {
        let (plan, database) = (self.plan, &self.plan.database);
        let old = &ground.current;
        let source = old.credential.username.clone();
        if source.len() > roles::LONGEST_NAME {
            return Err(RotationError::TooLong(source));
        }
        let mut user = match plan.strategy(&old.document) {
            Strategy::Single => source.clone(),
            Strategy::Alternating => alternate(&source)?,
        };
        let mut token = None;
        if let Pending::Filled(pending) = &ground.pending {
            // An attempt is completed in the way in which it was begun.
            let name = &pending.credential.username;
            let foreign = match differs(&pending.credential, &old.credential) {
                None if *name == source || alternate(&source).is_ok_and(|a| a == *name) => None,
                None => Some("user"),
                what => what,
            };
            if let Some(what) = foreign {
                return Err(RotationError::Foreign {
                    secret: plan.secret.clone(),
                    version: pending.credential.version.clone(),
                    what,
                });
            }
            user.clone_from(name);
        }
        if let Pending::Reserved(version) = &ground.pending {
            token = Some(version.clone());
        }
        let alternates = user != source;
        let admin = plan.admin(self.store, ground, alternates).await?;
        if alternates && admin.is_none() {
            return Err(RotationError::NoAdmin);
        }
        let target = Arc::new(Target::resolve(database, &old.credential)?);
        let limit = database.connect_timeout;
        let pair = [source.as_str(), user.as_str()];
        let (mut own, logged_in) = ground
            .login(self.store, &plan.secret, &target, limit)
            .await?;
        // From here on it is about that one server: another of the list, a
        // standby say, may not have heard of a change yet.
        let target = own.place.clone();
        let rights = Rights::of(&mut own, pair).await?;
        let form = Form {
            md5: match (database.allow_md5, own.is_md5()) {
                (false, _) => Md5::Refused,
                (true, false) => Md5::Allowed,
                (true, true) => Md5::InUse,
            },
            plaintext: plan.plaintext,
        };
        form.permitted(&target, &database.name)?;
        let meeting = Meeting::of(&mut own).await?;
        let mut session = match &admin {
            None if *meeting.database == *target.dbname => own,
            None => {
                own.close().await;
                self.changer(None, &meeting, &target, &logged_in).await?
            }
            Some(admin) => {
                own.close().await;
                let admin = self.admin(admin, &target).await?;
                self.changer(Some(admin), &meeting, &target, &logged_in)
                    .await?
            }
        };
        session.administer().await?;
        lock::take(&mut session, &old.credential.arn, &source, plan).await?;

        let (what, state) = match &ground.pending {
            Pending::None => ("nothing is pending".to_owned(), State::Create { token }),
            Pending::Reserved(v) => (
                format!("version {v} waits for its value"),
                State::Create { token },
            ),
            Pending::Filled(p) => (
                format!(
                    "version {} is pending: an earlier attempt is completed",
                    p.credential.version
                ),
                State::Set { new: p.clone() },
            ),
        };
        self.report(
            Step::Begin,
            StepOutcome::Done,
            state.version(),
            Some(&user),
            format!(
                "{target}: \"{source}\" logs in with version {}; {what}",
                logged_in.version
            ),
        );
        let attempt = Attempt {
            target,
            source,
            user,
            old: old.clone(),
            session,
            rights,
            form,
        };
        Ok((attempt, state))
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
        self.listener.step(&StepReport {
            secret: self.plan.secret.clone(),
            version: version.cloned(),
            arn: self.arn.get().cloned(),
            user: user.cloned(),
            step,
            outcome,
            detail,
        });
    }
}

/// Whether two looks found the same.
fn same(a: &Ground, b: &Ground) -> bool {
    let pending = |ground: &Ground| match &ground.pending {
        Pending::None => None,
        Pending::Reserved(version) => Some((version.clone(), false)),
        Pending::Filled(p) => Some((p.credential.version.clone(), true)),
    };
    a.version() == b.version() && pending(a) == pending(b)
}
