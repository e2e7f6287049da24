//! A PAUSE that is not done: whoever has asked for it cancels it, or leaves.

use std::sync::Arc;

use tokio::runtime::Handle;
use tracing::{info, warn};

use super::{Action, ActionError, Actor};
use crate::admin::Operations;
use crate::audit::{Outcome, Record};

/// Takes a PAUSE back when it is dropped before it was done: nobody is there to do what it was
/// for, and to RESUME.
pub struct Unfinished(Option<Begun>);

struct Begun {
    proxy: Arc<dyn Operations>,
    actor: Actor,
    database: Option<String>,
}

impl Unfinished {
    /// What was begun, if it is to be taken back.
    pub fn of(proxy: &Arc<dyn Operations>, actor: &Actor, action: &Action) -> Self {
        let Action::Pause(database) = action else {
            return Self(None);
        };
        Self(Some(Begun {
            proxy: proxy.clone(),
            actor: actor.clone(),
            database: database.clone(),
        }))
    }

    /// It is done, or has failed.
    pub fn done(mut self) {
        self.0 = None;
    }

    /// Takes it back now. `false`: there is nothing to take back.
    ///
    /// # Errors
    /// It could not be recorded, and is as it was.
    pub async fn take_back(mut self) -> Result<bool, ActionError> {
        match self.0.take() {
            Some(begun) => begun.take_back().await.map(|()| true),
            None => Ok(false),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(begun) = self.0.take() else { return };
        // There is none any more once the process ends.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            if let Err(error) = begun.take_back().await {
                warn!("a PAUSE whose client has left is still in force: {error}");
            }
        });
    }
}

impl Begun {
    async fn take_back(&self) -> Result<(), ActionError> {
        let context = self.proxy.context();
        let database = self.database.as_deref();
        // Somebody else may have resumed it.
        if !context.switches.has_paused(database) {
            return Ok(());
        }
        let resume = Action::Resume(self.database.clone()).to_string();
        let who = self.actor.who.clone();
        info!(client = %who.client, source = %who.source, session = %who.id, "admin: {resume}: the PAUSE was not done");
        let reason = Some("the PAUSE was not done");
        let record = Record::admin(who, database, &resume, Outcome::Success, reason);
        let admitted = context.audit.admit(record).await;
        admitted.map_err(|_| ActionError::Audit)?;
        context.switches.take_back(database);
        context.switches.apply(&self.proxy.pools());
        Ok(())
    }
}
