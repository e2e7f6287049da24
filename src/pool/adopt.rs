//! Proving a version with one login, adopting it, and what is said of either.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{error, info};

use super::connection::Proven;
use super::generation::Generation;
use super::search::Verdict;
use super::state::{Health, Tried};
use super::{CheckoutError, Pool};
use crate::audit::Record;
use crate::secret::{Credential, Standing};
use crate::upstream::{ConnectError, Target};

/// How long the prober waits for a slot of a pool that is full.
const SLOT_WAIT: Duration = Duration::from_secs(2);

impl Pool {
    pub(super) fn adoption_failed(&self, credential: &Credential, why: &str) {
        self.metrics.adoption_failed();
        self.record_failure(Some(credential), why);
    }

    fn record_failure(&self, credential: Option<&Credential>, why: &str) {
        let credential = credential.map(|c| self.credential_ref(c));
        let database = self.database.name.clone();
        self.audit
            .record(Record::secret_fail(database, credential, why));
    }

    /// The server could not be reached: one attempt with the version in force.
    /// `true`: it is there.
    pub(super) async fn retry_down(self: &Arc<Self>, current: Option<&Arc<Generation>>) -> bool {
        let Some(generation) = current else {
            self.state().health = Health::Seeking {
                since: Instant::now(),
                message: "no version".into(),
            };
            self.wake.notify_one();
            return true;
        };
        if !self.take_slot().await {
            let mut state = self.state();
            if state.abandoned > 0 {
                return false; // full of what it has not answered
            }
            // The pool is full, so the server is there after all. A slot may have
            // become free since, with nobody allowed to use it.
            state.health = Health::Good;
            self.open_for_waiters(&mut state);
            return true;
        }
        match self.login(generation).await {
            Ok(connection) => {
                let mut state = self.state();
                state.opening -= 1;
                state.health = Health::Good;
                // It may have been restarted with other settings, or upgraded.
                info!(database = %self.database.name, "the database server is back");
                self.put(&mut state, connection);
                self.open_for_waiters(&mut state);
                true
            }
            Err(error) => {
                let mut state = self.state();
                state.opening -= 1;
                self.login_failed(&mut state, generation, &error);
                self.release_slot(&mut state);
                // It is there, and does not like the credential.
                let seeking = matches!(state.health, Health::Seeking { .. });
                drop(state);
                if seeking {
                    self.wake.notify_one();
                }
                seeking
            }
        }
    }

    /// A round of the search has found nothing that logs in.
    pub(super) fn found_none(&self, failure: &Arc<str>) {
        let mut state = self.state();
        let silent = state.tried.last().is_some_and(|t| t.unreachable);
        let nothing_held = state.leased == 0;
        let Health::Seeking { since, message } = &mut state.health else {
            return;
        };
        if message != failure {
            self.record_failure(None, failure);
            error!(database = %self.database.name, secret = %self.secret, "no version logs in: {failure}");
        }
        *message = failure.clone();
        if since.elapsed() > self.database.rotation_grace {
            let error = self.seek_error();
            state.fail_waiters(&error);
        } else if silent && nothing_held {
            state.fail_waiters(&CheckoutError::Down);
        }
    }

    /// One login with a candidate.
    pub(super) async fn probe(
        self: &Arc<Self>,
        candidate: &Arc<Credential>,
        standing: Standing,
    ) -> Result<(), (Verdict, Arc<str>)> {
        let target = match Target::resolve(&self.database.upstream, candidate) {
            Ok(target) => Arc::new(target),
            Err(e) => return Err((Verdict::Useless, e.to_string().into())),
        };
        if !self.take_slot().await {
            let why = match self.state().abandoned {
                0 => "every server connection is held by a client",
                _ => "the server has not let go of a login that took too long",
            };
            return Err((Verdict::Untried, why.into()));
        }
        let generation = {
            let state = self.state();
            match &state.current {
                Some(current) if current.credential.version == candidate.version => current.clone(),
                _ => Arc::new(Generation::new(
                    state.generations + 1,
                    candidate.clone(),
                    target,
                    standing,
                    self.old_servers.clone(),
                )),
            }
        };
        match self.login(&generation).await {
            Ok(connection) => {
                self.adopt(generation, connection);
                Ok(())
            }
            Err(error) => {
                let (verdict, why) = judge(&error);
                let mut state = self.state();
                state.opening -= 1;
                state.note_refusal(&error);
                state.note_tried(Tried {
                    version: candidate.version.clone(),
                    standing,
                    why: why.clone(),
                    at: SystemTime::now(),
                    unreachable: verdict == Verdict::Silent && !is_passing(&error),
                });
                self.release_slot(&mut state);
                Err((verdict, why))
            }
        }
    }

    /// A slot for a login of the manager's own. In a full pool an idle
    /// connection makes room, or else the next one that comes back.
    async fn take_slot(self: &Arc<Self>) -> bool {
        let handed = {
            let mut state = self.state();
            if state.open < self.database.pool_size {
                state.open += 1;
                state.opening += 1;
                return true;
            }
            // What works is not given up for a server that does not finish logins.
            if state.abandoned > 0 {
                return false;
            }
            let (wanted, handed) = oneshot::channel();
            state.slot_wanted = Some(wanted);
            if !state.idle.is_empty() {
                let coldest = state.idle.remove(0);
                self.put(&mut state, coldest); // which hands its slot over
            }
            handed
        };
        // Dropping the receiver in a timeout and the sender's success exclude
        // each other, so that a slot is never lost.
        let mut handed = handed;
        let got = match timeout(SLOT_WAIT, &mut handed).await {
            Ok(result) => result.is_ok(),
            Err(_) => {
                handed.close();
                handed.try_recv().is_ok()
            }
        };
        let mut state = self.state();
        if got {
            state.opening += 1;
        } else {
            state.slot_wanted = None;
        }
        got
    }

    /// A version has proved itself: new logins use it from here on, and what
    /// logged in before drains.
    fn adopt(self: &Arc<Self>, generation: Arc<Generation>, connection: Proven) {
        let mut state = self.state();
        state.opening -= 1;
        state.health = Health::Good;
        let tried = std::mem::take(&mut state.tried);
        let new = !state.is_current(&generation);
        let old = if new {
            state.tried_before = tried;
            state.generations = generation.number;
            state.current.replace(generation.clone())
        } else {
            None
        };
        if new {
            self.announce_adoption(&generation, old.as_ref());
        }
        if let Some(old) = &old {
            self.start_draining(&mut state, old);
        }
        self.put(&mut state, connection);
        self.open_for_waiters(&mut state);
        if new {
            self.listener.adopted();
        }
        if old.is_some() {
            self.start_replacing(&mut state);
        }
    }

    fn announce_adoption(&self, generation: &Arc<Generation>, old: Option<&Arc<Generation>>) {
        let version = &generation.credential.version;
        info!(
            database = %self.database.name, secret = %self.secret, %version,
            user = generation.credential.username, generation = generation.number,
            "version adopted ({})", generation.standing
        );
        let old = old.map(|o| o.credential.version.as_str());
        self.metrics.adopted(old, version.as_str());
        let credential = self.credential_ref(&generation.credential);
        let database = self.database.name.clone();
        self.audit
            .record(Record::secret_adopt(database, credential));
    }
}

fn judge(error: &ConnectError) -> (Verdict, Arc<str>) {
    match error.sqlstate() {
        "28P01" if error.is_authentication() => (Verdict::Refused, error.to_string().into()),
        // Not a matter of the password: pg_hba.conf, NOLOGIN, IAM.
        _ if error.is_authentication() => {
            let why = format!(
                "{error} (the server's access rules refuse this user whatever its password is: see pg_hba.conf, LOGIN, or the instance's IAM settings)"
            );
            (Verdict::Refused, why.into())
        }
        _ => (Verdict::Silent, error.to_string().into()),
    }
}

/// A server that starts, or has no room this moment, will soon let somebody in.
fn is_passing(error: &ConnectError) -> bool {
    error.is_starting() || error.sqlstate() == "53300"
}
