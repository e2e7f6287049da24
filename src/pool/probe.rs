//! Proving a version of the secret with one login.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Pool;
use super::generation::Generation;
use super::login::FailedLogin;
use super::search::{Input, Tried, Verdict};
use super::slots::{Slot, Use};
use crate::secret::{Credential, Standing};
use crate::upstream::{ConnectError, Options, Target};
use crate::wire::LoginFailure;

/// How long the prober waits for a slot of a pool that is full.
const SLOT_WAIT: Duration = Duration::from_secs(2);

impl Pool {
    /// Logs in once with a candidate. If that works, the candidate is adopted, and its connection
    /// is the first of the new generation.
    ///
    /// # Errors
    /// What the search is to be told.
    pub(super) async fn probe(
        self: &Arc<Self>,
        candidate: &Arc<Credential>,
        standing: Standing,
    ) -> Result<(), Input> {
        let tried = |place, verdict, why, failure| {
            let version = candidate.version.clone();
            let mut tried = Tried::now(version, standing, place, verdict, why);
            tried.failure = failure;
            Input::Failed(tried)
        };
        let options = self.database().upstream.clone();
        let target = match Target::resolve(&options, candidate) {
            Ok(target) => Arc::new(target),
            Err(e) => {
                let why = e.to_string().into();
                let failure = Some(LoginFailure::Unusable);
                return Err(tried("".into(), Verdict::Useless, why, failure));
            }
        };
        let place = target.to_string().into();
        let _turn = self.errand().await;
        let Some(slot) = self.take_slot().await else {
            let why = match self.state().slots.abandoned() {
                0 => "every server connection is held by a client",
                _ => "the server has not let go of a login that took too long",
            };
            let why = Some(why.into());
            return Err(Input::Untried { why });
        };
        let generation = self.generation_of(candidate, target, options, standing);
        match self.login(&generation, slot).await {
            Ok(connection) => {
                let kept = self.adopt(generation, connection);
                self.close_unused(kept).await;
                Ok(())
            }
            Err(FailedLogin { error, slot }) => {
                let mut state = self.state();
                state.places.note_failure(&error);
                state.note_failure();
                self.release_slot(&mut state, slot);
                let (verdict, why) = judge(&error);
                Err(tried(place, verdict, why, Some(error.failure())))
            }
        }
    }

    /// The generation in force where that is the candidate's, or else a new one.
    fn generation_of(
        &self,
        candidate: &Arc<Credential>,
        target: Arc<Target>,
        options: Arc<Options>,
        standing: Standing,
    ) -> Arc<Generation> {
        let state = self.state();
        match &state.current {
            Some(current)
                if current.credential.version == candidate.version
                    && current.options.logs_in_like(&options) =>
            {
                current.clone()
            }
            _ => Arc::new(Generation::new(
                state.generations + 1,
                candidate.clone(),
                target,
                options,
                standing,
                self.old_servers.clone(),
            )),
        }
    }

    /// A slot for a login of the manager's own. In a full pool an idle connection
    /// makes room, or else the next one that comes back.
    pub(super) async fn take_slot(self: &Arc<Self>) -> Option<Slot> {
        let mut handed = {
            let mut state = self.state();
            if state.slots.taken() < self.size(&state) {
                return Some(state.slots.take(Use::Opening));
            }
            // What works is not given up for a server that does not finish logins.
            if state.slots.abandoned() > 0 {
                return None;
            }
            let (wanted, handed) = oneshot::channel();
            state.slot_wanted = Some(wanted);
            self.ask_for_slots(&mut state, 1);
            if !state.idle.is_empty() {
                let coldest = state.idle.remove(0);
                self.put(&mut state, coldest); // which hands its slot over
            }
            handed
        };
        let slot = match timeout(SLOT_WAIT, &mut handed).await {
            Ok(slot) => slot.ok(),
            // A slot is never lost: either it was sent before the receiver is
            // closed, or the sender gets it back.
            Err(_) => {
                handed.close();
                handed.try_recv().ok()
            }
        };
        if slot.is_none() {
            self.state().slot_wanted = None;
        }
        slot
    }
}

fn judge(error: &ConnectError) -> (Verdict, Arc<str>) {
    match error.sqlstate() {
        "28P01" if error.is_authentication() => (Verdict::Refused, error.to_string().into()),
        // The password is not the cause: pg_hba.conf, NOLOGIN, IAM.
        _ if error.is_authentication() => {
            let why = format!(
                "{error} (the server's access rules refuse this user whatever its password is: see pg_hba.conf, LOGIN, or the instance's IAM settings)"
            );
            (Verdict::Refused, why.into())
        }
        _ if error.may_pass() => (Verdict::Later, error.to_string().into()),
        _ => (Verdict::Unfit, error.to_string().into()),
    }
}
