//! Rotates one secret for as long as the proxy runs: when its schedule says so,
//! when RotateSecret of the embedded store asked for it, and when an earlier
//! rotation was left half done.
//!
//! The time of the last change is that of the current version, whoever made
//! it: a change by hand counts as a rotation. All replicas know the same moment
//! and set out together; the lock lets one of them go on, and the others find
//! that it is done.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::ground::{Ground, Pending};
use super::report::Listener;
use super::{Ending, Plan, RotationError, Rotator};
use crate::base::jitter::{Backoff, jittered};
use crate::secret::schedule::{Schedule, timing};
use crate::secret::{Description, RotationRules, SecretStore, VersionId, Which};

/// A version under AWSPENDING that is older than this was left behind; a
/// younger one may be that of a rotator which knows nothing of the lock.
const LEFT_BEHIND: Duration = Duration::from_secs(15);
/// Between attempts that failed.
const RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);

pub struct Scheduler {
    pub store: Arc<dyn SecretStore>,
    pub plan: Plan,
    /// Of the configuration; it goes before that of the store.
    pub schedule: Option<Schedule>,
    /// The configuration says how to rotate. Otherwise only the store may ask
    /// for it, and only the embedded one does.
    pub configured: bool,
    /// How often a store that does not tell is looked at.
    pub refresh: Duration,
    pub listener: Arc<dyn Listener>,
    pub next: Next,
    /// Called after a rotation, for the proxy to look at once.
    pub rotated: Arc<dyn Fn() + Send + Sync>,
}

/// When the next rotation is to start, as a scheduler last saw it; for others
/// to read. Nothing where there is no schedule, or somebody else rotates.
#[derive(Clone, Default)]
pub struct Next(Arc<Mutex<Option<DateTime<Utc>>>>);

impl Next {
    pub fn get(&self) -> Option<DateTime<Utc>> {
        *self.0.lock()
    }

    fn set(&self, at: Option<DateTime<Utc>>) {
        *self.0.lock() = at;
    }
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Somebody else rotates it.
    NotOurs,
    /// Nothing, until then (or until something changes).
    Wait(Option<DateTime<Utc>>),
    /// The version to be replaced, and why.
    Rotate(VersionId, &'static str),
}

/// What was seen of the secret, so that not everything is asked each time.
#[derive(Default)]
struct Seen {
    current: Option<(VersionId, DateTime<Utc>)>,
    pending: Option<(VersionId, Instant)>,
    left_alone: bool,
}

impl Scheduler {
    /// Until `stop` is set or its sender is gone; a rotation that is under way
    /// is not broken off by that.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut changes = self.store.changes();
        let mut seen = Seen::default();
        let mut backoff = Backoff::new(RETRY, LONGEST_RETRY);
        let mut not_before = Instant::now();
        loop {
            let verdict = self.judge(&mut seen).await;
            match &verdict {
                Ok(Verdict::Rotate(..)) => {
                    let rest = not_before.saturating_duration_since(Instant::now());
                    self.next.set(Some(Utc::now() + rest));
                }
                Ok(Verdict::Wait(at)) => self.next.set(*at),
                Ok(Verdict::NotOurs) => self.next.set(None),
                Err(_) => {}
            }
            let pause = match verdict {
                _ if *stop.borrow() => return,
                Ok(Verdict::Rotate(version, why)) if Instant::now() >= not_before => {
                    info!(secret = %self.plan.secret, "rotation begins: {why}");
                    match self.rotate(version).await {
                        Ok(()) => {
                            backoff.reset();
                            Duration::ZERO
                        }
                        Err(e) => {
                            let wait = backoff.wait();
                            not_before = Instant::now() + wait;
                            self.next.set(Some(Utc::now() + wait));
                            warn!(
                                secret = %self.plan.secret, kind = e.kind(),
                                "not rotated, next attempt in {wait:.0?}: {e}"
                            );
                            wait
                        }
                    }
                }
                Ok(Verdict::Rotate(..)) => not_before - Instant::now(),
                Ok(Verdict::Wait(Some(at))) => {
                    let until = timing::until(at, Utc::now()).max(Duration::from_millis(10));
                    until.min(jittered(self.refresh))
                }
                Ok(Verdict::Wait(None) | Verdict::NotOurs) => jittered(self.refresh),
                Err(e) => {
                    warn!(secret = %self.plan.secret, "its rotation cannot be planned: {e}");
                    backoff.wait().min(self.refresh)
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                // Also while an attempt waits: it may be called off.
                () = changed(&mut changes) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn rotate(&self, version: VersionId) -> Result<(), RotationError> {
        let plan = Plan {
            instead_of: Some(version),
            ..self.plan.clone()
        };
        let ending = Rotator::new(self.store.rotatable()?, &*self.listener, &plan)
            .rotate()
            .await?;
        match &ending {
            Ending::Rotated(v) => info!(secret = %plan.secret, version = %v, "rotated"),
            Ending::Elsewhere(v) => {
                info!(secret = %plan.secret, version = %v, "another rotator was faster");
            }
        }
        (self.rotated)();
        Ok(())
    }

    async fn judge(&self, seen: &mut Seen) -> Result<Verdict, RotationError> {
        let description = self.store.describe(&self.plan.secret).await?;
        let rules = description.rotation.clone().unwrap_or_default();
        if let Some(by) = rules.by.as_deref() {
            if !seen.left_alone && self.configured {
                warn!(secret = %self.plan.secret, "rotation is left to {by}, and only followed");
            }
            seen.left_alone = true;
            return Ok(Verdict::NotOurs);
        }
        seen.left_alone = false;
        let asked = rules.enabled && self.store.requests_rotation();
        if !self.configured && !asked {
            return Ok(Verdict::NotOurs);
        }
        if let Some(verdict) = self.pending(&description, seen).await? {
            return Ok(verdict);
        }
        let schedule = match &self.schedule {
            Some(schedule) => Some(schedule.clone()),
            None if asked => self.of_store(&rules),
            None => None,
        };
        let Some(schedule) = schedule else {
            return Ok(Verdict::Wait(None));
        };
        let (version, changed) = self.changed(&description, seen).await?;
        let last = rules
            .last_rotated
            .map_or(changed, |at| changed.max(at.into()));
        let Some(due) = timing::due(&schedule, last, &description.arn) else {
            return Ok(Verdict::Wait(None));
        };
        match due <= Utc::now() {
            true => Ok(Verdict::Rotate(version, "its time has come")),
            false => Ok(Verdict::Wait(Some(due))),
        }
    }

    /// A version under AWSPENDING that nobody seems to care for.
    async fn pending(
        &self,
        description: &Description,
        seen: &mut Seen,
    ) -> Result<Option<Verdict>, RotationError> {
        let pending = description.version_with(crate::secret::AWSPENDING);
        let current = description.version_with(crate::secret::AWSCURRENT);
        let Some((pending, current)) = pending.zip(current).filter(|(p, c)| p != c) else {
            seen.pending = None;
            return Ok(None);
        };
        let since = match &seen.pending {
            Some((version, since)) if version == pending => *since,
            _ => Instant::now(),
        };
        seen.pending = Some((pending.clone(), since));
        if since.elapsed() >= LEFT_BEHIND {
            let why = "an earlier one was left half done";
            return Ok(Some(Verdict::Rotate(current.clone(), why)));
        }
        let ground = Ground::look(&*self.store, &self.plan.secret).await?;
        match ground.pending {
            Pending::Reserved(_) if self.store.requests_rotation() => {
                let why = "RotateSecret asked for it";
                Ok(Some(Verdict::Rotate(ground.version().clone(), why)))
            }
            Pending::None => Ok(None),
            _ => {
                let rest = LEFT_BEHIND.saturating_sub(since.elapsed());
                Ok(Some(Verdict::Wait(Some(Utc::now() + rest))))
            }
        }
    }

    /// The current version and when it was made.
    async fn changed(
        &self,
        description: &Description,
        seen: &mut Seen,
    ) -> Result<(VersionId, DateTime<Utc>), RotationError> {
        let current = description.version_with(crate::secret::AWSCURRENT);
        if let (Some((version, at)), Some(current)) = (&seen.current, current)
            && version == current
        {
            return Ok((version.clone(), *at));
        }
        let value = self.store.get(&self.plan.secret, &Which::current()).await?;
        let at = value.created.map_or_else(Utc::now, DateTime::from);
        seen.current = Some((value.version.clone(), at));
        Ok((value.version, at))
    }

    fn of_store(&self, rules: &RotationRules) -> Option<Schedule> {
        let schedule = match (rules.after_days, &rules.expression) {
            (Some(days), _) => Schedule::after_days(days),
            (None, Some(expression)) => Schedule::expression(expression),
            (None, None) => return None,
        };
        let schedule = match &rules.duration {
            Some(duration) => schedule.and_then(|s| s.with_window(duration)),
            None => schedule,
        };
        schedule
            .inspect_err(|e| warn!(secret = %self.plan.secret, "its RotationRules: {e}"))
            .ok()
    }
}

/// Waits for the store to say that something changed, and lets a burst of
/// changes pass; for ever where it cannot tell.
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
