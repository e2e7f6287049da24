//! Logins that fail: what that means for the pool, and what clients are told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::generation::Generation;
use super::login::FailedLogin;
use super::search::{Down, Health};
use super::state::State;
use super::{CheckoutError, Pool};
use crate::upstream::ConnectError;
use crate::wire::LoginFailure;

/// How long clients are kept waiting for a server that says that it is
/// starting up: a restart takes no longer, a recovery may take hours.
const START_UP: Duration = Duration::from_secs(10);

impl Pool {
    /// Draws the consequences of a failed login of the generation in force.
    pub(super) fn login_failed(
        &self,
        state: &mut State,
        generation: &Arc<Generation>,
        error: &ConnectError,
    ) {
        // A straggler of a generation that is no longer in force says nothing
        // about the one that is.
        if state
            .current
            .as_ref()
            .is_some_and(|c| !Arc::ptr_eq(c, generation))
        {
            return;
        }
        let was_good = state.search.is_good();
        state.places.note_failure(error);
        if error.is_authentication() {
            let version = &generation.credential.version;
            let why = error.to_string().into();
            let (failure, now) = (error.failure(), Instant::now());
            if state.search.refused(version.clone(), why, failure, now) {
                warn!(
                    database = %self.name, secret = %self.secret, %version,
                    "the version in force no longer logs in: {error}; looking for one that does"
                );
            }
        } else {
            self.server_is_down(state, error);
        }
        // Only a change wakes the manager: its own attempts end here too, and
        // must not cut its backoff short.
        if was_good {
            self.wake.notify_one();
        }
    }

    fn server_is_down(&self, state: &mut State, error: &ConnectError) {
        let cause = CheckoutError::Login(error.failure());
        let now = Instant::now();
        let start_up = match state.search.health() {
            Health::Down(down) => down.waits_until,
            Health::Seeking { .. } => return, // that comes first
            Health::Good => {
                warn!(database = %self.name, "{error}; trying again");
                now + START_UP
            }
        };
        // A server that is starting up will soon be there.
        let waits_until = if error.is_starting() { start_up } else { now };
        // With other connections at work the waiters will be served.
        if state.slots.leased() == 0 && waits_until <= now {
            state.fail_waiters(&cause);
        }
        let message = error.to_string().into();
        state.search.is_down(Down::new(message, cause, waits_until));
    }

    /// Makes one attempt with the version in force at a server that could not be
    /// reached. `true`: there is no need for another one.
    pub(super) async fn retry_down(self: &Arc<Self>) -> bool {
        let Some(generation) = self.state().current.clone() else {
            return true;
        };
        let Some(slot) = self.take_slot().await else {
            let mut state = self.state();
            if state.slots.abandoned() > 0 {
                return false; // full of what it has not answered
            }
            // The pool is full, so the server is there after all. A slot may have
            // become free since, with nobody allowed to use it.
            state.search.is_reached();
            self.open_for_waiters(&mut state);
            return true;
        };
        match self.login(&generation, slot).await {
            Ok(connection) => {
                let mut state = self.state();
                state.search.is_reached();
                // It may have been restarted with other settings, or upgraded.
                info!(database = %self.name, "the database server is back");
                self.put(&mut state, connection);
                self.open_for_waiters(&mut state);
                true
            }
            Err(FailedLogin { error, slot }) => {
                let mut state = self.state();
                self.login_failed(&mut state, &generation, &error);
                self.release_slot(&mut state, slot);
                // It is there, and does not like the credential.
                let seeking = state.search.is_seeking();
                drop(state);
                if seeking {
                    self.wake.notify_one();
                }
                seeking
            }
        }
    }

    /// A round of the search has found nothing that logs in: that is announced,
    /// and clients that wait in vain are told.
    pub(super) fn found_none(&self) {
        let mut state = self.state();
        let Health::Seeking { since } = state.search.health() else {
            return;
        };
        let unreachable = state.search.is_unreachable();
        if let Some(failure) = state.search.announce() {
            self.record_secret_failure(None, &failure);
            let (database, secret) = (&self.name, &self.secret);
            if unreachable {
                error!(%database, %secret, "{failure}; no version of the secret can be tried");
            } else {
                error!(%database, %secret, "no version logs in: {failure}");
            }
        }
        if since.elapsed() > self.database().rotation_grace {
            let error = self.seek_error(&state);
            state.fail_waiters(&error);
        } else if unreachable && state.slots.leased() == 0 {
            let failure = state.search.last_failure();
            let failure = failure.unwrap_or(LoginFailure::Unreachable);
            state.fail_waiters(&CheckoutError::Login(failure));
        }
    }

    /// What clients are told where there is neither a connection nor a prospect
    /// of one: waiting would only hide the cause.
    pub(super) fn hopeless(&self, state: &State) -> Option<CheckoutError> {
        if state.slots.leased() > 0 {
            return None;
        }
        match state.search.health() {
            Health::Seeking { since } if since.elapsed() > self.database().rotation_grace => {
                Some(self.seek_error(state))
            }
            Health::Down(down) if down.waits_until <= Instant::now() => Some(down.cause.clone()),
            _ => None,
        }
    }

    fn seek_error(&self, state: &State) -> CheckoutError {
        if self.follower.known().current.is_none() {
            CheckoutError::SecretUnusable(self.secret.clone())
        } else {
            let failure = state.search.last_failure();
            CheckoutError::NoWorkingVersion(self.secret.clone(), failure)
        }
    }
}
