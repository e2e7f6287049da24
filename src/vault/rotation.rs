//! The rotation settings of a secret, RotateSecret and CancelRotateSecret.
//!
//! The store is the queue: RotateSecret saves the rules and puts an empty version
//! under AWSPENDING. A proxy finds it there, fills it, and moves AWSCURRENT to
//! it.

use chrono::DateTime;
use serde::{Deserialize, Serialize};

use super::secrets::{self, Secret};
use super::tx::{Millis, Tx};
use super::{VaultError, labels, versions};
use crate::secret::schedule::Schedule;
use crate::secret::{AWSPENDING, VersionId};

/// RotationRules: when a secret is rotated. It has either `days` or `schedule`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Rules {
    #[serde(
        rename = "AutomaticallyAfterDays",
        skip_serializing_if = "Option::is_none"
    )]
    pub days: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
    #[serde(rename = "ScheduleExpression", skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Metadata {
    pub key: String,
    pub value: String,
}

/// The rotation settings as RotateSecret saved them: the column `rotation`, and
/// fields of DescribeSecret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Cleared by CancelRotateSecret, which keeps the rest.
    pub enabled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lambda: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Vec<Metadata>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// What RotateSecret changes. Absent fields stay as they are.
#[derive(Default)]
pub struct Change {
    pub lambda: Option<String>,
    pub rules: Option<Rules>,
    pub metadata: Option<Vec<Metadata>>,
    pub role: Option<String>,
}

impl Rules {
    /// The schedule that the rules describe.
    ///
    /// # Errors
    /// [`VaultError::InvalidParameter`]: the rules describe none.
    pub fn schedule(&self) -> Result<Schedule, VaultError> {
        let wrong = |text: &str| VaultError::InvalidParameter(text.into());
        let schedule = match (self.days, &self.schedule) {
            (Some(_), Some(_)) => {
                return Err(wrong(
                    "You can't specify both AutomaticallyAfterDays and ScheduleExpression; \
                     choose one.",
                ));
            }
            (None, None) => {
                return Err(wrong(
                    "RotationRules needs AutomaticallyAfterDays or ScheduleExpression.",
                ));
            }
            (Some(days), None) => Schedule::after_days(u64::try_from(days).unwrap_or(0)),
            (None, Some(expression)) => Schedule::expression(expression),
        };
        let windowed = match &self.duration {
            Some(duration) => schedule.and_then(|s| s.with_window(duration)),
            None => schedule,
        };
        windowed.map_err(|e| VaultError::InvalidParameter(format!("Invalid RotationRules: {e}")))
    }
}

impl Rotation {
    /// NextRotationDate: the last moment of the next window after `since`.
    pub fn next(&self, since: Millis) -> Option<Millis> {
        let rules = self.rules.as_ref().filter(|_| self.enabled)?;
        let schedule = rules.schedule().ok()?;
        let last = DateTime::from_timestamp_millis(since)?;
        let window = schedule.windows(last).next()?;
        Some(window.closes.timestamp_millis() - 1000)
    }
}

/// RotateSecret: saves the settings, and with `now` begins a rotation. Returns the
/// version that a rotation fills.
pub fn rotate(
    tx: &Tx<'_>,
    secret: &Secret,
    change: Change,
    now: bool,
    token: &str,
) -> Result<VersionId, VaultError> {
    let mut rotation = secret.rotation.clone().unwrap_or_default();
    rotation.enabled = true;
    rotation.lambda = change.lambda.or(rotation.lambda);
    rotation.rules = change.rules.or(rotation.rules);
    rotation.metadata = change.metadata.or(rotation.metadata);
    rotation.role = change.role.or(rotation.role);
    save(tx, secret, &rotation)?;
    if now {
        return versions::reserve(tx, &secret.arn, Some(token));
    }
    secrets::touch(tx, secret)?;
    Ok(VersionId::new(token))
}

/// CancelRotateSecret: turns rotation off. Returns the version that a rotation under
/// way has made.
pub fn cancel(tx: &Tx<'_>, secret: &Secret) -> Result<Option<VersionId>, VaultError> {
    let Some(mut rotation) = secret.rotation.clone() else {
        return Err(VaultError::InvalidRequest(
            "You can't cancel rotation for a secret that does not have rotation enabled.".into(),
        ));
    };
    rotation.enabled = false;
    save(tx, secret, &rotation)?;
    secrets::touch(tx, secret)?;
    let Some(pending) = labels::holder(tx, secret, AWSPENDING)? else {
        return Ok(None);
    };
    Ok(Some(VersionId::new(versions::token_of(tx, pending)?)))
}

fn save(tx: &Tx<'_>, secret: &Secret, rotation: &Rotation) -> Result<(), VaultError> {
    let text = serde_json::to_string(rotation)
        .map_err(|e| VaultError::Internal(format!("rotation rules cannot be written: {e}")))?;
    Ok(tx.rows.set_rotation(secret.id, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::tx::DAY;

    #[test]
    fn the_next_rotation_is_due_when_its_window_closes() {
        let rules = |days, schedule: Option<&str>| Rotation {
            enabled: true,
            rules: Some(Rules {
                days,
                duration: None,
                schedule: schedule.map(Into::into),
            }),
            ..Default::default()
        };
        let since = 10 * DAY + 5000;
        assert_eq!(rules(Some(30), None).next(since), Some(41 * DAY - 1000));
        let rate = rules(None, Some("rate(10 days)"));
        assert_eq!(rate.next(since), Some(21 * DAY - 1000));
        let cron = rules(None, Some("cron(0 0 1 * ? *)"));
        assert_eq!(
            cron.next(since),
            Some(32 * DAY - 1000),
            "the first of February 1970"
        );
        let off = Rotation {
            enabled: false,
            ..rules(Some(30), None)
        };
        assert_eq!(off.next(since), None);
    }

    #[test]
    fn rules_that_say_nothing_or_too_much_have_no_schedule() {
        let rules = |days, schedule: Option<&str>, duration: Option<&str>| Rules {
            days,
            duration: duration.map(Into::into),
            schedule: schedule.map(Into::into),
        };
        assert!(rules(None, None, None).schedule().is_err());
        assert!(
            rules(Some(1), Some("rate(1 day)"), None)
                .schedule()
                .is_err()
        );
        assert!(rules(Some(0), None, None).schedule().is_err());
        assert!(rules(None, Some("rate(3 hours)"), None).schedule().is_err());
        assert!(rules(Some(1), None, Some("25h")).schedule().is_err());
        assert!(rules(Some(1), None, Some("3h")).schedule().is_ok());
    }
}
