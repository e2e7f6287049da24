//! Is it time to rotate a secret, and why?

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use tracing::warn;

use super::Scheduler;
use crate::rotation::RotationError;
use crate::rotation::ground::{Ground, Pending};
use crate::secret::schedule::{Schedule, timing};
use crate::secret::{AWSCURRENT, AWSPENDING, Description, RotationRules, VersionId, Which};

/// The time under AWSPENDING after which a version counts as left behind. A younger one may be in
/// use by a rotator that does not use the lock.
const LEFT_BEHIND: Duration = Duration::from_secs(15);

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// pgvalet does not rotate this secret.
    NotOurs,
    /// There is nothing to do until then, or until something changes.
    Wait(Option<DateTime<Utc>>),
    /// A person has to approve of the rotation that has been due since then.
    Approve(DateTime<Utc>),
    /// Rotate, if the version is still the current one.
    Rotate(VersionId, Reason),
}

/// Why a rotation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Schedule,
    Request,
    LeftHalfDone,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Schedule => "the schedule says so",
            Self::Request => "RotateSecret asked for it",
            Self::LeftHalfDone => "an earlier rotation was left half done",
        })
    }
}

/// What earlier looks have seen, so that not everything is asked each time.
#[derive(Default)]
pub(super) struct Seen {
    /// The current version, and when it was made.
    current: Option<(VersionId, DateTime<Utc>)>,
    /// The version under AWSPENDING, and since when it has been seen there.
    pending: Option<(VersionId, Instant)>,
    /// The secret is left alone, and the log says so.
    left_alone: bool,
}

impl Seen {
    /// Whether a version is under AWSPENDING that is not the current one.
    pub(super) fn has_pending(&self) -> bool {
        self.pending.is_some()
    }
}

impl Scheduler {
    /// Why pgvalet does not rotate the secret, if somebody else does or if the
    /// store cannot be written to.
    fn leave_alone(&self, rules: &RotationRules) -> Option<String> {
        if let Some(by) = &rules.by {
            return Some(format!("rotation is left to {by}, and only followed"));
        }
        let refused = self.store.rotatable().err()?;
        Some(format!("the secret cannot be rotated: {refused}"))
    }

    /// Looks at the secret and decides what is to be done.
    pub(super) async fn judge(&self, seen: &mut Seen) -> Result<Verdict, RotationError> {
        let description = self.store.describe(&self.plan.secret).await?;
        let rules = description.rotation.clone().unwrap_or_default();
        if let Some(why) = self.leave_alone(&rules) {
            if !seen.left_alone && self.configured {
                warn!(secret = %self.plan.secret, "{why}");
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
        let now = Utc::now();
        let due = self.freeze.postponed(due, now, &description.arn);
        if due > now {
            self.next.expects(&version);
            return Ok(Verdict::Wait(Some(due)));
        }
        if self.approve && !self.next.is_approved(&version) {
            return Ok(Verdict::Approve(due));
        }
        Ok(Verdict::Rotate(version, Reason::Schedule))
    }

    /// What to do about a version under AWSPENDING, if there is one.
    async fn pending(
        &self,
        description: &Description,
        seen: &mut Seen,
    ) -> Result<Option<Verdict>, RotationError> {
        let pending = description.version_with(AWSPENDING);
        let current = description.version_with(AWSCURRENT);
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
            let current = current.clone();
            return Ok(Some(Verdict::Rotate(current, Reason::LeftHalfDone)));
        }
        let ground = Ground::look(&*self.store, &self.plan.secret).await?;
        match ground.pending {
            Pending::Reserved(_) if self.store.requests_rotation() => {
                let current = ground.version().clone();
                Ok(Some(Verdict::Rotate(current, Reason::Request)))
            }
            Pending::None => Ok(None),
            _ => {
                let rest = LEFT_BEHIND.saturating_sub(since.elapsed());
                Ok(Some(Verdict::Wait(Some(Utc::now() + rest))))
            }
        }
    }

    /// The current version, and when it was made.
    async fn changed(
        &self,
        description: &Description,
        seen: &mut Seen,
    ) -> Result<(VersionId, DateTime<Utc>), RotationError> {
        let current = description.version_with(AWSCURRENT);
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

    /// The schedule that RotateSecret saved in the store.
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
            .inspect_err(
                |e| warn!(secret = %self.plan.secret, "the secret's RotationRules are no schedule: {e}"),
            )
            .ok()
    }
}
