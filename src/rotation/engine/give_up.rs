//! The end of an attempt that failed.

use std::sync::Arc;

use super::{Attempt, Rotator};
use crate::rotation::error::RotationError;
use crate::rotation::ground;
use crate::rotation::password;
use crate::rotation::sql::Session;
use crate::secret::{AWSPENDING, Credential};

impl Rotator<'_> {
    /// Gives a single user the password of the current version back; whether that worked.
    pub(super) async fn give_back(&self, attempt: &mut Attempt) -> bool {
        let (session, user) = (&mut attempt.session, &attempt.user);
        let (form, database) = (attempt.form, &*self.plan.database.name);
        let old = &attempt.old.credential.password;
        match password::state(session, user, old, form, database).await {
            Ok(stated) => password::set(session, user, &stated).await.is_ok(),
            Err(_) => false,
        }
    }

    /// Removes AWSPENDING after a failure that another try would not change, so
    /// that the next attempt makes a new password. The label stays where the
    /// database has that password already.
    pub(super) async fn give_up(
        &self,
        attempt: &Attempt,
        pending: &Arc<Credential>,
        error: RotationError,
    ) -> RotationError {
        let limit = self.plan.database.connect_timeout;
        // Nobody uses the alternate user before AWSCURRENT moves.
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
                tracing::warn!(%secret, %version, "AWSPENDING could not be removed from a version that failed: {e}");
            }
        }
        error
    }
}
