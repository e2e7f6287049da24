//! The beginning of an attempt: look at the secret, prove that the role belongs
//! to it, and wait for the lock.

use std::sync::Arc;

use tokio::time::sleep;

use super::{Attempt, LOOKS, PAUSE, Rotator, State};
use crate::rotation::error::RotationError;
use crate::rotation::ground::{Ground, Pending, Version, differs};
use crate::rotation::lock::{self, Meeting};
use crate::rotation::password::{Form, Md5};
use crate::rotation::report::{Step, StepOutcome};
use crate::rotation::rights::Rights;
use crate::rotation::roles::{self, alternate};
use crate::secret::{Credential, VersionId};
use crate::upstream::Target;

/// How an attempt begins.
pub(super) enum Begun {
    Attempt(Box<Attempt>, State),
    /// Another rotator was faster, with this version.
    Elsewhere(VersionId),
}

/// The user of the current version, and the one that the new version is for. A
/// single user is both.
struct Users {
    source: String,
    next: String,
}

impl Rotator<'_> {
    /// Looks at the secret until a look and the lock agree.
    pub(super) async fn begin(&self) -> Result<Begun, RotationError> {
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
        for look in 1..=10 * LOOKS {
            match self.enter(&ground).await {
                Ok((attempt, state)) => {
                    // The labels may have moved while the lock was waited for.
                    let now = Ground::look(self.store, &plan.secret).await?;
                    if *now.version() != before && !plan.insist {
                        attempt.session.close().await;
                        return Ok(Begun::Elsewhere(self.overtaken_by(&now)));
                    }
                    if same(&now, &ground) {
                        return Ok(Begun::Attempt(Box::new(attempt), state));
                    }
                    attempt.session.close().await;
                    ground = now;
                }
                // While another rotator is at work, the labels that were just
                // read may be those of no password that is in force.
                Err(RotationError::NobodyLogsIn { .. }) if look < LOOKS => {
                    sleep(PAUSE).await;
                    ground = Ground::look(self.store, &plan.secret).await?;
                }
                Err(e) => return Err(e),
            }
        }
        let found = "the labels of the secret move at every look".to_owned();
        Err(RotationError::Busy(plan.secret.clone(), found))
    }

    fn overtaken_by(&self, ground: &Ground) -> VersionId {
        let version = ground.version().clone();
        self.report(
            Step::Begin,
            StepOutcome::Skipped,
            Some(&version),
            None,
            "another rotator was faster; its version is the current one".to_owned(),
        );
        version
    }

    /// Logs in, opens the session that will change the password, and takes the
    /// lock.
    async fn enter(&self, ground: &Ground) -> Result<(Attempt, State), RotationError> {
        let (plan, database) = (self.plan, &self.plan.database);
        let old = &ground.current;
        let users = self.users(ground)?;
        let alternates = users.next != users.source;
        let admin = plan.admin(self.stores, ground, alternates).await?;
        if alternates && admin.is_none() {
            return Err(RotationError::NoAdmin);
        }
        let target = Arc::new(Target::resolve(database, &old.credential)?);
        let limit = database.connect_timeout;
        // This login proves that whoever wrote the secret may use the role.
        let (mut own, logged_in) = ground
            .login(self.store, &plan.secret, &target, limit)
            .await?;
        // From here on it is about that one server: another one of the list, a
        // standby for example, may not have heard of a change yet.
        let target = own.place.clone();
        let pair = [users.source.as_str(), users.next.as_str()];
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
        lock::take(&mut session, &old.credential.arn, &users.source, plan).await?;
        let state = self.entered(ground, &users, &target, &logged_in);
        let attempt = Attempt {
            target,
            source: users.source,
            user: users.next,
            old: old.clone(),
            session,
            rights,
            form,
        };
        Ok((attempt, state))
    }

    /// Who the new version is for.
    fn users(&self, ground: &Ground) -> Result<Users, RotationError> {
        let current = &ground.current;
        let source = current.credential.username.clone();
        if source.len() > roles::LONGEST_NAME {
            return Err(RotationError::TooLong(source));
        }
        let strategy = self.plan.strategy(&current.document);
        let planned = strategy.next_user(&source)?;
        let next = match &ground.pending {
            // An attempt is completed in the way in which it was begun.
            Pending::Filled(pending) => self.pending_user(pending, current)?,
            Pending::None | Pending::Reserved(_) => planned,
        };
        Ok(Users { source, next })
    }

    /// The user of a version that an earlier attempt left, if that version can
    /// be the next one of this secret.
    fn pending_user(&self, pending: &Version, current: &Version) -> Result<String, RotationError> {
        let (name, source) = (&pending.credential.username, &current.credential.username);
        let is_next = name == source || alternate(source).is_ok_and(|a| a == *name);
        let foreign = differs(&pending.credential, &current.credential);
        match foreign.or((!is_next).then_some("user")) {
            None => Ok(name.clone()),
            Some(what) => Err(RotationError::Foreign {
                secret: self.plan.secret.clone(),
                version: pending.credential.version.clone(),
                what,
            }),
        }
    }

    /// Reports what was found, and says which step is the next one.
    fn entered(
        &self,
        ground: &Ground,
        users: &Users,
        target: &Target,
        logged_in: &Credential,
    ) -> State {
        let (what, state) = match &ground.pending {
            Pending::None => (
                "nothing is pending".to_owned(),
                State::Create { token: None },
            ),
            Pending::Reserved(version) => (
                format!("version {version} waits for its value"),
                State::Create {
                    token: Some(version.clone()),
                },
            ),
            Pending::Filled(pending) => (
                format!(
                    "version {} is pending: an earlier attempt is completed",
                    pending.credential.version
                ),
                State::Set {
                    new: pending.clone(),
                },
            ),
        };
        self.report(
            Step::Begin,
            StepOutcome::Done,
            state.version(),
            Some(&users.next),
            format!(
                "{target}: \"{}\" logs in with version {}; {what}",
                users.source, logged_in.version
            ),
        );
        state
    }
}

/// Whether two looks found the same versions.
fn same(a: &Ground, b: &Ground) -> bool {
    let pending = |ground: &Ground| match &ground.pending {
        Pending::None => None,
        Pending::Reserved(version) => Some((version.clone(), false)),
        Pending::Filled(p) => Some((p.credential.version.clone(), true)),
    };
    a.version() == b.version() && pending(a) == pending(b)
}
