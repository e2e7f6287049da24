//! The steps of a rotation, from a new password to the proof that it is in force.

use std::sync::Arc;

use tokio::time::sleep;

use super::{Attempt, EXCLUDED, LOOKS, PAUSE, Rotator, State};
use crate::rotation::error::RotationError;
use crate::rotation::ground::{self, Version};
use crate::rotation::plan::Strategy;
use crate::rotation::report::{Step, StepOutcome};
use crate::rotation::rights::Rights;
use crate::rotation::sql::Session;
use crate::rotation::{password, roles, terminate};
use crate::secret::{AWSCURRENT, AWSPENDING, Credential, RandomPassword, StoreError, VersionId};

impl Rotator<'_> {
    pub(super) async fn create(
        &self,
        attempt: &Attempt,
        token: Option<VersionId>,
    ) -> Result<State, RotationError> {
        let (store, secret) = (self.store, &self.plan.secret);
        let token = token.unwrap_or_else(|| VersionId::new(uuid::Uuid::new_v4().to_string()));
        let options = RandomPassword {
            exclude_characters: EXCLUDED.to_owned(),
            ..RandomPassword::default()
        };
        let password = store.random_password(options).await?;
        let value = attempt.old.document.with(&attempt.user, &password);
        let stages = vec![AWSPENDING.to_owned()];
        store
            .put(secret, value.clone(), stages.clone(), Some(token.clone()))
            .await?;
        // A rotator of another kind may have been in between.
        self.still_pending(&token).await?;
        let value = crate::secret::SecretValue {
            arn: attempt.old.credential.arn.clone(),
            name: secret.as_str().into(),
            version: token.clone(),
            stages,
            created: None,
            value,
        };
        let new = Box::new(ground::parse(secret, &value)?);
        self.report(
            Step::Create,
            StepOutcome::Done,
            Some(&token),
            Some(&attempt.user),
            "a new password is in the store, pending".to_owned(),
        );
        Ok(State::Set { new })
    }

    /// Some stores are only eventually consistent: it is asked a few times.
    async fn still_pending(&self, token: &VersionId) -> Result<(), RotationError> {
        let mut looks = 0;
        while ground::holder(self.store, &self.plan.secret, AWSPENDING)
            .await?
            .as_ref()
            != Some(token)
        {
            looks += 1;
            if looks == LOOKS {
                return Err(RotationError::Lost {
                    secret: self.plan.secret.clone(),
                    then: "",
                });
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    pub(super) async fn set(
        &self,
        attempt: &mut Attempt,
        new: Box<Version>,
    ) -> Result<State, RotationError> {
        let credential = new.credential.clone();
        let limit = self.plan.database.connect_timeout;
        let in_force = match Session::open(&attempt.target, &credential, limit).await {
            Ok(session) => {
                session.close().await;
                true
            }
            Err(e) if e.is_authentication() => false,
            Err(e) => return Err(e.into()),
        };
        let session = &mut attempt.session;
        let stated = match in_force {
            true => None,
            false => {
                // Another rotator may have taken the label: then it is its turn.
                self.still_pending(&credential.version).await?;
                let database = &*self.plan.database.name;
                let (user, password) = (&attempt.user, &credential.password);
                Some(password::state(session, user, password, attempt.form, database).await?)
            }
        };
        let mut changed_at = None;
        let detail = if attempt.user == attempt.source {
            if let Some(stated) = &stated {
                changed_at = Some(
                    password::set(session, &attempt.user, stated)
                        .await
                        .map_err(|e| attempt.form.explain(e))?,
                );
            }
            match in_force {
                true => format!("\"{}\" has the new password already", attempt.user),
                false => format!("\"{}\" has the new password", attempt.user),
            }
        } else {
            let (source, user) = (&attempt.source, &attempt.user);
            // A value alone says that they take turns: then a role that is
            // there already is not the other one's only by its name.
            let related = match self.plan.strategy {
                Some(Strategy::Alternating) => true,
                // The configuration knows of one user only.
                Some(Strategy::Single) => false,
                None => roles::take_turns(session, source, user).await?,
            };
            if !related {
                return Err(RotationError::Unrelated(user.clone(), source.clone()));
            }
            let prepared = roles::take_over(session, source, user, stated.as_ref()).await;
            let prepared = prepared.map_err(|e| match e {
                RotationError::Sql(e) => attempt.form.explain(e).into(),
                e => e,
            })?;
            let made = if prepared.created {
                "was created and "
            } else {
                ""
            };
            let changes = match prepared.changes {
                0 => String::new(),
                n => format!(", and {n} differences to \"{source}\" are gone"),
            };
            format!("\"{user}\" {made}has the new password{changes}")
        };
        let outcome = if in_force {
            StepOutcome::Skipped
        } else {
            StepOutcome::Done
        };
        self.report(
            Step::Set,
            outcome,
            Some(&credential.version),
            Some(&attempt.user),
            detail,
        );
        Ok(State::Test { new, changed_at })
    }

    pub(super) async fn test(
        &self,
        attempt: &mut Attempt,
        new: Box<Version>,
        changed_at: Option<String>,
    ) -> Result<State, RotationError> {
        let limit = self.plan.database.connect_timeout;
        let pair = [attempt.source.as_str(), attempt.user.as_str()];
        let mut session = Session::open(&attempt.target, &new.credential, limit).await?;
        let mut rights = Rights::of(&mut session, pair).await?;
        if !attempt.rights.beyond(&rights).is_empty() {
            // Something may have been made or dropped between the two looks.
            let old = &attempt.old.credential;
            if let Ok(mut again) = Session::open(&attempt.target, old, limit).await {
                attempt.rights = Rights::of(&mut again, pair).await?;
                again.close().await;
            }
            rights = Rights::of(&mut session, pair).await?;
        }
        session.close().await;
        let missing = attempt.rights.beyond(&rights);
        if !missing.is_empty() {
            return Err(RotationError::Less {
                user: attempt.user.clone(),
                than: attempt.source.clone(),
                missing,
            });
        }
        let more = rights.beyond(&attempt.rights);
        let detail = match more.len() {
            0 => format!("it logs in and may do the same: {}", rights.summary()),
            n => format!(
                "it logs in and may do the same and more ({n}: {}): {}",
                more.iter().take(3).cloned().collect::<Vec<_>>().join("; "),
                rights.summary()
            ),
        };
        let version = &new.credential.version;
        self.report(
            Step::Test,
            StepOutcome::Done,
            Some(version),
            Some(&attempt.user),
            detail,
        );
        Ok(State::Finish { new, changed_at })
    }

    /// Another rotator took AWSPENDING after the password was set. It knows
    /// the labelled versions only, and nobody could log in with those: the
    /// role gets the password of the current version back.
    async fn put_back(&self, attempt: &mut Attempt, new: &Version) -> RotationError {
        let lost = |then| RotationError::Lost {
            secret: self.plan.secret.clone(),
            then,
        };
        if attempt.user != attempt.source {
            return lost("");
        }
        let limit = self.plan.database.connect_timeout;
        match Session::open(&attempt.target, &new.credential, limit).await {
            Ok(session) => session.close().await,
            // The other one has set its own already.
            Err(_) => return lost(""),
        }
        let (session, user) = (&mut attempt.session, &attempt.user);
        let (form, database) = (attempt.form, &*self.plan.database.name);
        let old = &attempt.old.credential.password;
        let back = match password::state(session, user, old, form, database).await {
            Ok(stated) => password::set(session, user, &stated).await.is_ok(),
            Err(_) => false,
        };
        lost(match back {
            true => "; the role has the password of AWSCURRENT again",
            false => "; the role could not be given the password of AWSCURRENT: do so by hand",
        })
    }

    pub(super) async fn finish(
        &self,
        attempt: &mut Attempt,
        new: Box<Version>,
        changed_at: Option<String>,
    ) -> Result<State, RotationError> {
        let (store, secret) = (self.store, &self.plan.secret);
        let (version, old) = (&new.credential.version, &attempt.old.credential.version);
        let current = ground::holder(store, secret, AWSCURRENT).await?;
        let mut outcome = StepOutcome::Skipped;
        if current.as_ref() != Some(version) {
            if current.as_ref() != Some(old) {
                return Err(RotationError::Superseded(secret.clone()));
            }
            match self.still_pending(version).await {
                Err(RotationError::Lost { .. }) => return Err(self.put_back(attempt, &new).await),
                still => still?,
            }
            let (to, from) = (Some(version.clone()), Some(old.clone()));
            let moved = store.move_label(secret, AWSCURRENT, to, from).await;
            if let Err(e) = moved {
                // The answer may have been lost, not the request.
                let arrived = ground::is_current(store, secret, version).await;
                if !arrived.unwrap_or(false) {
                    return Err(match e {
                        StoreError::InvalidParameter(_) | StoreError::InvalidRequest(_) => {
                            RotationError::Superseded(secret.clone())
                        }
                        e => e.into(),
                    });
                }
            }
            outcome = StepOutcome::Done;
        }
        // There it would be no harm; without it nobody wonders. Some stores have
        // taken it away by themselves.
        let from = Some(version.clone());
        if let Err(e) = store.move_label(secret, AWSPENDING, None, from).await {
            tracing::debug!(%secret, %version, "AWSPENDING was not taken from it: {e}");
        }
        let detail = format!("it is AWSCURRENT; {old} is AWSPREVIOUS");
        self.report(
            Step::Finish,
            outcome,
            Some(version),
            Some(&attempt.user),
            detail,
        );
        Ok(State::Verify { new, changed_at })
    }

    pub(super) async fn verify(
        &self,
        attempt: &mut Attempt,
        new: Box<Version>,
        changed_at: Option<String>,
    ) -> Result<State, RotationError> {
        let version = new.credential.version.clone();
        let limit = self.plan.database.connect_timeout;
        let old = attempt.old.credential.clone();
        let detail = if attempt.user != attempt.source {
            format!(
                "\"{}\" stays valid until the next rotation, which changes its password",
                attempt.source
            )
        } else {
            match Session::open(&attempt.target, &old, limit).await {
                Ok(session) => {
                    session.close().await;
                    return Err(RotationError::OldStillWorks(attempt.user.clone()));
                }
                Err(e) if e.is_authentication() => "the old password is refused".to_owned(),
                Err(e) => return Err(RotationError::Unverified(self.plan.secret.clone(), e)),
            }
        };
        self.report(
            Step::Verify,
            StepOutcome::Done,
            Some(&version),
            Some(&attempt.user),
            detail,
        );
        if let Some(emergency) = &self.plan.emergency {
            let alternates = attempt.user != attempt.source;
            let tell = |outcome, detail: String| {
                self.report(
                    Step::Terminate,
                    outcome,
                    Some(&version),
                    Some(&attempt.source),
                    detail,
                );
            };
            let mut own;
            let (session, before) = match alternates {
                // The users' own sessions are its to end; the admin's right
                // may not reach that far.
                true => {
                    own = Session::open(&attempt.target, &old, limit).await?;
                    own.administer().await?;
                    (&mut own, None)
                }
                false => (&mut attempt.session, changed_at.as_deref()),
            };
            terminate::old_sessions(
                session,
                &attempt.source,
                before,
                (&self.plan.secret, &version),
                emergency,
                &tell,
            )
            .await?;
            if alternates {
                roles::disable_password(&mut attempt.session, &attempt.source).await?;
                let text = format!(
                    "\"{}\" has no password until the next rotation",
                    attempt.source
                );
                tell(StepOutcome::Done, text);
            }
        }
        Ok(State::Done { version })
    }

    /// After a failure that was no accident: the version loses AWSPENDING, so
    /// that the next attempt makes a new password; unless the database has it.
    pub(super) async fn give_up(
        &self,
        attempt: &Attempt,
        pending: &Arc<Credential>,
        error: RotationError,
    ) -> RotationError {
        let limit = self.plan.database.connect_timeout;
        // The alternate is in nobody's use before AWSCURRENT moves.
        if attempt.user == attempt.source {
            match Session::open(&attempt.target, pending, limit).await {
                Err(e) if e.is_authentication() => {}
                Ok(session) => {
                    session.close().await;
                    return error;
                }
                Err(_) => return error,
            }
        }
        let (secret, version) = (&self.plan.secret, &pending.version);
        let labelled = ground::holder(self.store, secret, AWSPENDING).await;
        if matches!(labelled, Ok(Some(v)) if v == *version) {
            let from = Some(version.clone());
            if let Err(e) = self.store.move_label(secret, AWSPENDING, None, from).await {
                tracing::warn!(%secret, %version, "AWSPENDING stays on a version that failed: {e}");
            }
        }
        error
    }
}
