//! Logins that fail: what that means for the pool, and what clients are told.

use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, info, warn};

use super::generation::Generation;
use super::login::FailedLogin;
use super::search::{Down, Health, Obstacle};
use super::state::State;
use super::{CheckoutError, OnDown, Pool};
use crate::upstream::ConnectError;

/// What a client may expect that finds no connection free.
pub(super) enum Prospect {
    /// The server lets somebody in, or has not been asked yet.
    Good,
    /// The server lets nobody in yet. The error is for whoever waits for that too long.
    Waits(CheckoutError),
    /// None: waiting would only hide the cause.
    Hopeless(CheckoutError),
}

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
        state.note_failure();
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
            self.tell_waiters(state);
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
        match state.search.health() {
            Health::Seeking { .. } => return, // that comes first
            Health::Down(_) => {}
            Health::Good => {
                debug!(database = %self.name, "{error}; trying again");
            }
        }
        let message = error.to_string().into();
        let down = Down::new(message, error.failure(), error.may_pass());
        state.search.is_down(down);
        self.tell_waiters(state);
    }

    /// Tells the clients that wait what they wait for, or that waiting is of no use.
    pub(super) fn tell_waiters(&self, state: &mut State) {
        let outage = match self.prospect(state) {
            Prospect::Good => None,
            Prospect::Waits(cause) => Some(cause),
            Prospect::Hopeless(error) => {
                state.fail_waiters(&error);
                None
            }
        };
        self.outage.send_if_modified(|known| {
            let changed = *known != outage;
            *known = outage;
            changed
        });
    }

    /// Makes one attempt with the version in force at a server that could not be
    /// reached. `true`: there is no need for another one.
    pub(super) async fn retry_down(self: &Arc<Self>) -> bool {
        let Some(generation) = self.state().current.clone() else {
            return true;
        };
        let _turn = self.errand().await;
        let Some(slot) = self.take_slot().await else {
            let mut state = self.state();
            if state.slots.abandoned() > 0 {
                return false; // full of what it has not answered
            }
            // The pool is full, so the server is there after all. A slot may have
            // become free since, with nobody allowed to use it.
            state.search.is_reached();
            self.tell_waiters(&mut state);
            self.open_for_waiters(&mut state);
            return true;
        };
        match self.login(&generation, slot).await {
            Ok(connection) => {
                let kept = {
                    let mut state = self.state();
                    state.search.is_reached();
                    self.tell_waiters(&mut state);
                    // It may have been restarted with other settings, or upgraded.
                    info!(database = %self.name, "the database server is back");
                    let kept = self.put_if_used(&mut state, connection);
                    self.open_for_waiters(&mut state);
                    kept
                };
                self.close_unused(kept).await;
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
    /// and clients that wait in vain are told. The log has it as a trouble, once it lasts.
    pub(super) fn found_none(&self) {
        let mut state = self.state();
        if !state.search.is_seeking() {
            return;
        }
        let of_server = matches!(state.search.obstacle(), Some(Obstacle::Server { .. }));
        if let Some(failure) = state.search.announce() {
            self.record_secret_failure(None, &failure);
            let (database, secret) = (&self.name, &self.secret);
            if of_server {
                debug!(%database, %secret, "{failure}; no version of the secret can be tried");
            } else {
                debug!(%database, %secret, "no version logs in: {failure}");
            }
        }
        match state.search.obstacle() {
            Some(Obstacle::NoVersion { since, .. })
                if since.elapsed() > self.database().rotation_grace =>
            {
                let error = self.seek_error(&state);
                state.fail_waiters(&error);
            }
            _ => self.tell_waiters(&mut state),
        }
    }

    /// What a client may expect that finds no connection free.
    pub(super) fn prospect(&self, state: &State) -> Prospect {
        let obstacle = match state.search.obstacle() {
            Some(obstacle) if !state.paused => obstacle,
            // Who waits for a pool to be resumed waits whatever its server does.
            _ => return Prospect::Good,
        };
        // With other connections at work it will be served.
        let others = state.slots.leased() > 0;
        let queues = self.database().on_down == OnDown::Queue;
        match obstacle {
            Obstacle::Server { failure, passes } if passes && queues => {
                Prospect::Waits(CheckoutError::Login(failure))
            }
            // A client waits for another attempt, unless there was one this moment.
            Obstacle::Server { passes, .. } if state.hurry && !passes => Prospect::Good,
            Obstacle::Server { failure, .. } if !others => {
                Prospect::Hopeless(CheckoutError::Login(failure))
            }
            // Where a version has logged in before, or AWSPENDING is there, a rotation may be
            // under way.
            Obstacle::NoVersion { since, never }
                if !others && (never || since.elapsed() > self.database().rotation_grace) =>
            {
                Prospect::Hopeless(self.seek_error(state))
            }
            Obstacle::Server { .. } | Obstacle::NoVersion { .. } => Prospect::Good,
        }
    }

    /// What a client is told that has waited in vain.
    pub(super) fn waited_too_long(&self) -> CheckoutError {
        let state = self.state();
        match self.prospect(&state) {
            Prospect::Waits(cause) | Prospect::Hopeless(cause) => cause,
            // The wait may end before `rotation_grace` does: it was not for a place in the pool.
            Prospect::Good if self.lacks_a_version(&state) => self.seek_error(&state),
            Prospect::Good => CheckoutError::Timeout,
        }
    }

    /// Whether nobody is served because no version logs in.
    fn lacks_a_version(&self, state: &State) -> bool {
        let obstacle = state.search.obstacle();
        !state.paused
            && state.slots.leased() == 0
            && matches!(obstacle, Some(Obstacle::NoVersion { .. }))
    }

    /// Waits until the server lets nobody in, and clients wait for it; what they are
    /// told if that does not pass.
    pub async fn lets_nobody_in(&self) -> CheckoutError {
        let mut outage = self.outage.subscribe();
        let cause = match outage.wait_for(Option::is_some).await {
            Ok(cause) => cause.clone(),
            Err(_) => None,
        };
        cause.unwrap_or(CheckoutError::Shut) // the sender is the pool's own
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
