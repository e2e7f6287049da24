//! setSecret: the database gets the new password.

use super::{Attempt, Rotator, State};
use crate::rotation::error::RotationError;
use crate::rotation::ground::Version;
use crate::rotation::password::{self, Stated};
use crate::rotation::plan::Strategy;
use crate::rotation::report::{Step, StepOutcome};
use crate::rotation::roles;
use crate::rotation::sql::Session;

impl Rotator<'_> {
    /// Sets the pending password, unless an earlier attempt has done so.
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
        let stated = match in_force {
            true => None,
            false => {
                // If another rotator has taken the label, it is that one's turn.
                self.still_pending(&credential.version).await?;
                let (version, user) = (Some(&credential.version), Some(&attempt.user));
                let begins = self.told(Step::Set, StepOutcome::Done, version, user, String::new());
                self.observer.before(&begins).await?;
                let database = &*self.plan.database.name;
                let (user, password) = (&attempt.user, &credential.password);
                let session = &mut attempt.session;
                Some(password::state(session, user, password, attempt.form, database).await?)
            }
        };
        let (changed_at, detail) = match attempt.user == attempt.source {
            true => self.set_single(attempt, stated.as_ref()).await?,
            false => (None, self.set_alternate(attempt, stated.as_ref()).await?),
        };
        let outcome = match in_force {
            true => StepOutcome::Skipped,
            false => StepOutcome::Done,
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

    /// Changes the password of the one user. Returns when, by the server's clock, and a sentence
    /// for the report. `None` for the password: the user has it already.
    async fn set_single(
        &self,
        attempt: &mut Attempt,
        stated: Option<&Stated>,
    ) -> Result<(Option<String>, String), RotationError> {
        let user = &attempt.user;
        let Some(stated) = stated else {
            return Ok((None, format!("\"{user}\" has the new password already")));
        };
        let changed = password::set(&mut attempt.session, user, stated).await;
        let changed_at = changed.map_err(|e| attempt.form.explain(e))?;
        Ok((Some(changed_at), format!("\"{user}\" has the new password")))
    }

    /// Prepares the user that takes over. Returns a sentence for the report.
    async fn set_alternate(
        &self,
        attempt: &mut Attempt,
        stated: Option<&Stated>,
    ) -> Result<String, RotationError> {
        let (source, user) = (&attempt.source, &attempt.user);
        let session = &mut attempt.session;
        let related = match self.plan.strategy {
            Some(Strategy::Alternating) => true,
            // The configuration knows of one user only.
            Some(Strategy::Single) => false,
            // Only a value says that the two take turns. A role that happens to
            // have the name of an alternate must not get this password.
            None => roles::take_turns(session, source, user).await?,
        };
        if !related {
            return Err(RotationError::Unrelated(user.clone(), source.clone()));
        }
        let prepared = roles::take_over(session, source, user, stated).await;
        let prepared = prepared.map_err(|e| match e {
            RotationError::Sql(e) => attempt.form.explain(e).into(),
            e => e,
        })?;
        let made = match prepared.created {
            true => "was created and ",
            false => "",
        };
        let changes = match prepared.changes {
            0 => String::new(),
            n => format!(", and {n} differences to \"{source}\" are gone"),
        };
        Ok(format!("\"{user}\" {made}has the new password{changes}"))
    }
}
