//! Adopting a version that has logged in, and what is recorded of either end.

use std::sync::Arc;

use tracing::info;

use super::Pool;
use super::connection::Proven;
use super::errand::Kept;
use super::generation::Generation;
use crate::audit::Record;
use crate::secret::Credential;

impl Pool {
    /// A version has proved itself: new logins use it from here on, and what
    /// logged in before drains.
    pub(super) fn adopt(self: &Arc<Self>, generation: Arc<Generation>, connection: Proven) -> Kept {
        let mut state = self.state();
        let new = !state.is_current(&generation);
        state.search.worked(new);
        self.tell_waiters(&mut state);
        let old = if new {
            state.generations = generation.number;
            state.current.replace(generation.clone())
        } else {
            None
        };
        if new {
            self.announce_adoption(&generation);
        }
        if let Some(old) = &old {
            self.start_draining(&mut state, old);
        }
        let kept = self.put_if_used(&mut state, connection);
        self.open_for_waiters(&mut state);
        if new {
            self.listener.adopted();
        }
        if old.is_some() {
            self.start_replacing(&mut state);
        }
        kept
    }

    fn announce_adoption(&self, generation: &Arc<Generation>) {
        let version = &generation.credential.version;
        info!(
            database = %self.name, secret = %self.secret, %version,
            user = generation.credential.username, generation = generation.number,
            "version adopted ({})", generation.standing
        );
        self.metrics.adopted();
        let credential = self.credential_ref(&generation.credential);
        let database = self.name.clone();
        self.audit
            .record(Record::secret_adopt(database, credential));
    }

    /// A new AWSCURRENT does not log in, while the version in force does.
    pub(super) fn adoption_failed(&self, credential: &Credential, why: &str) {
        self.metrics.adoption_failed();
        self.record_secret_failure(Some(credential), why);
    }

    pub(super) fn record_secret_failure(&self, credential: Option<&Credential>, why: &str) {
        let credential = credential.map(|c| self.credential_ref(c));
        let database = self.name.clone();
        self.audit
            .record(Record::secret_fail(database, credential, why));
    }
}
