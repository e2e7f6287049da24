//! Rotates one secret for as long as the proxy runs: when its schedule says so,
//! when RotateSecret on the store asked for it, and when an earlier rotation was
//! left half done.
//!
//! The last change is the time at which the current version was made, whoever made
//! it: a change by hand counts as a rotation. All replicas find the same moment and
//! start together. The lock lets one of them go on, and the others find that the
//! rotation is done.

mod outlook;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::report::Observer;
use super::{Ending, Plan, RotationError, Rotator};
use crate::base::jitter::{Backoff, jittered};
use crate::secret::schedule::{Freezes, Schedule, timing};
use crate::secret::{SecretStore, Stores, VersionId};
pub use outlook::{Next, Outlook};
use verdict::{Seen, Verdict};

/// The pause after a first failed attempt; it grows with each.
const RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);

/// What rotates one secret; see [`Scheduler::run`].
pub struct Scheduler {
    /// The store that keeps the secret.
    pub store: Arc<dyn SecretStore>,
    pub stores: Stores,
    pub plan: Plan,
    /// The schedule of the configuration. `None`: that of the store holds.
    pub schedule: Option<Schedule>,
    /// When the schedule starts nothing.
    pub freeze: Freezes,
    /// What the schedule starts waits until a person has approved it.
    pub approve: bool,
    /// Whether the configuration says that pgvalet rotates this secret. If not,
    /// only a store that requests rotations can ask for one.
    pub configured: bool,
    /// The time between two looks at a store that does not tell of changes.
    pub refresh: Duration,
    pub observer: Arc<dyn Observer>,
    pub next: Next,
    /// Called after a rotation, so that the proxy looks at the secret at once.
    pub rotated: Arc<dyn Fn() + Send + Sync>,
}

impl Scheduler {
    /// Runs until `stop` is set or its sender is gone. A rotation that is under way
    /// is finished first.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.store.changes();
        let mut seen = Seen::default();
        let mut backoff = Backoff::new(RETRY, LONGEST_RETRY);
        let mut not_before = Instant::now();
        loop {
            let verdict = self.judge(&mut seen).await;
            self.announce(&verdict, not_before, seen.has_pending());
            let pause = match verdict {
                _ if *stop.borrow() => return,
                Ok(Verdict::Rotate(version, why)) if Instant::now() >= not_before => {
                    info!(secret = %self.plan.secret, "rotation begins: {why}");
                    match self.rotate(version).await {
                        Ok(()) => {
                            backoff.reset();
                            self.next.works();
                            Duration::ZERO
                        }
                        Err(e) => {
                            let wait = backoff.wait();
                            not_before = Instant::now() + wait;
                            self.has_failed(&e, wait);
                            wait
                        }
                    }
                }
                Ok(Verdict::Rotate(..)) => not_before - Instant::now(),
                Ok(Verdict::Wait(Some(at))) => {
                    let until = timing::until(at, Utc::now()).max(Duration::from_millis(10));
                    until.min(jittered(self.refresh))
                }
                Ok(Verdict::Wait(None) | Verdict::Approve(_) | Verdict::NotOurs) => {
                    jittered(self.refresh)
                }
                Err(e) => {
                    self.cannot_plan(&e);
                    backoff.wait().min(self.refresh)
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                // A change also ends the wait for another attempt, which may no
                // longer be needed.
                () = changed(&mut changes) => {}
                () = self.next.approved() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Shows what comes next. `pending`: a version is there that a rotation has begun.
    fn announce(
        &self,
        verdict: &Result<Verdict, RotationError>,
        not_before: Instant,
        pending: bool,
    ) {
        match verdict {
            Ok(Verdict::Rotate(..)) => {
                let rest = not_before.saturating_duration_since(Instant::now());
                self.next.set(Some(Utc::now() + rest));
            }
            Ok(Verdict::Wait(at)) => {
                self.next.set(*at);
                // Nothing is left to be done: somebody else did it.
                if !pending {
                    self.next.works();
                }
            }
            Ok(Verdict::Approve(since)) => {
                self.next.set(Some(*since));
                self.next.works();
            }
            Ok(Verdict::NotOurs) => {
                self.next.set(None);
                self.next.works();
            }
            Err(e) if self.configured => self.next.fails(e),
            Err(_) => {}
        }
    }

    fn has_failed(&self, error: &RotationError, wait: Duration) {
        self.next.set(Some(Utc::now() + wait));
        self.next.fails(error);
        warn!(
            secret = %self.plan.secret, kind = error.kind(),
            "not rotated, next attempt in {wait:.0?}: {error}"
        );
    }

    fn cannot_plan(&self, error: &RotationError) {
        let secret = &self.plan.secret;
        // The proxy logs by itself that a secret cannot be read.
        match self.configured {
            true => warn!(%secret, "the next rotation cannot be planned: {error}"),
            false => debug!(%secret, "the next rotation cannot be planned: {error}"),
        }
    }

    async fn rotate(&self, version: VersionId) -> Result<(), RotationError> {
        let plan = Plan {
            instead_of: Some(version),
            ..self.plan.clone()
        };
        let store = self.store.rotatable()?;
        let rotator = Rotator::new(store, &self.stores, &*self.observer, &plan);
        let ending = rotator.rotate().await?;
        match &ending {
            Ending::Rotated(v) => info!(secret = %plan.secret, version = %v, "rotated"),
            Ending::Elsewhere(v) => {
                info!(secret = %plan.secret, version = %v, "another rotator was faster");
            }
        }
        (self.rotated)();
        Ok(())
    }
}

/// Waits until the store says that something changed, and until a burst of changes
/// is over. Never returns where the store cannot tell.
async fn changed(changes: &mut Option<watch::Receiver<u64>>) {
    const BURST: Duration = Duration::from_millis(50);
    match changes {
        Some(receiver) => {
            if receiver.changed().await.is_err() {
                *changes = None;
                return;
            }
            let _ = timeout(BURST, std::future::pending::<()>()).await;
        }
        None => std::future::pending().await,
    }
}
