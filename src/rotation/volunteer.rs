//! This replica as the canary of a rotation that another process carries out: it takes a free
//! seat, uses the new version, and reports by the label of the seat
//! ([`seats`](super::engine::seats)).

use std::sync::Arc;

use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::engine::seats::{FAILED, report, seat};
use super::{Observer, Plan, RotationError, ground};
use crate::secret::{AWSCURRENT, AWSPENDING, Credential, SecretStore, VersionId, Which};

/// A task beside the scheduler of a secret, which may wait for another rotator meanwhile.
pub(super) struct Volunteer {
    pub store: Arc<dyn SecretStore>,
    pub observer: Arc<dyn Observer>,
    pub plan: Plan,
    /// The version that the pools use although it is not AWSCURRENT.
    pub uses: Option<Arc<Credential>>,
    /// One for which they can do nothing.
    pub declined: Option<VersionId>,
}

impl Volunteer {
    /// Looks whenever the store says that something has changed, until `stop` is set or its sender
    /// is gone. Where the store does not tell, it ends at once: a seat is not free for long.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let Some(mut changes) = self.store.changes() else {
            return;
        };
        loop {
            if let Err(e) = self.look().await {
                debug!(secret = %self.plan.secret, "as a canary: {e}");
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Takes a seat, if one is free, and keeps it until it has reported.
    async fn look(&mut self) -> Result<(), RotationError> {
        let secret = &self.plan.secret;
        let description = self.store.describe(secret).await?;
        let current = description.version_with(AWSCURRENT);
        let pending = description.version_with(AWSPENDING);
        let pending = pending.filter(|p| Some(*p) != current);
        // The rotation has ended: well, or it was taken back.
        if let Some(used) = self.uses.take_if(|used| pending != Some(&used.version))
            && current != Some(&used.version)
        {
            self.observer.put_back(&used);
        }
        let Some((pending, current)) = pending.zip(current) else {
            return Ok(());
        };
        let idle = self.uses.is_none() && self.declined.as_ref() != Some(pending);
        if !idle || self.observer.is_trying(secret, pending) {
            return Ok(());
        }
        let store = self.store.rotatable()?;
        let is_free = |n: &usize| description.version_with(&seat(*n)) == Some(current);
        let Some(number) = (1..=self.plan.canary).find(is_free) else {
            return Ok(());
        };
        let (label, here) = (seat(number), Some(current.clone()));
        if store.move_label(secret, &label, None, here).await.is_err() {
            return Ok(()); // another replica was faster, and the change of that wakes this one
        }
        let which = Which::Version(pending.clone());
        let version = ground::fetch(store, secret, &which).await?;
        let new = Some(pending.clone());
        match self.observer.try_out(&version.credential).await {
            Some(Ok(how)) => {
                info!(%secret, version = %pending, "the canary of a rotation: {how}");
                self.uses = Some(version.credential);
                store.move_label(secret, &report(number), new, None).await?;
            }
            Some(Err(why)) => {
                warn!(%secret, version = %pending, "the canary of a rotation failed: {why}");
                self.observer.put_back(&version.credential);
                store.move_label(secret, FAILED, new, None).await?;
            }
            // Somebody else may.
            None => {
                self.declined = Some(pending.clone());
                let back = Some(current.clone());
                store.move_label(secret, &label, back, None).await?;
            }
        }
        Ok(())
    }
}
