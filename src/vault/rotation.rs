//! What a secret's rotation is set to, RotateSecret and CancelRotateSecret.
//!
//! The store is the queue: RotateSecret saves the rules and puts an empty
//! version under AWSPENDING. Whoever rotates finds it there, fills it, and
//! moves AWSCURRENT to it.

use serde::{Deserialize, Serialize};

use super::secrets::{self, Secret};
use super::tx::{DAY, Millis, Tx};
use super::{VaultError, labels, versions};
use crate::secret::{AWSPENDING, VersionId};

/// When a secret is rotated. Exactly one of `days` and `schedule` is given.
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metadata {
    pub key: String,
    pub value: String,
}

/// As RotateSecret left it: the column `rotation`, and the fields of that name
/// in DescribeSecret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// CancelRotateSecret clears it; the rest stays.
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

/// What RotateSecret changes; what is absent stays as it was.
#[derive(Default)]
pub struct Change {
    pub lambda: Option<String>,
    pub rules: Option<Rules>,
    pub metadata: Option<Vec<Metadata>>,
    pub role: Option<String>,
}

impl Rotation {
    /// The end of the day by which the next rotation is due; `None` where that
    /// depends on a calendar.
    pub fn next(&self, since: Millis) -> Option<Millis> {
        let rules = self.rules.as_ref().filter(|_| self.enabled)?;
        let step = match (rules.days, rules.schedule.as_deref()) {
            (Some(days), _) => days.checked_mul(DAY)?,
            (None, Some(schedule)) => rate(schedule)?,
            (None, None) => return None,
        };
        let at = since.checked_add(step)?;
        // Windows of less than a day end with their hour, others with their day.
        let unit = if step < DAY { DAY / 24 } else { DAY };
        Some((at / unit + 1) * unit - 1000)
    }
}

/// The length of `rate(N hours)` or `rate(N days)`.
fn rate(schedule: &str) -> Option<Millis> {
    let inner = schedule.strip_prefix("rate(")?.strip_suffix(')')?;
    let (number, unit) = inner.trim().split_once(' ')?;
    let number: i64 = number.parse().ok()?;
    let unit = match unit.trim() {
        "hour" | "hours" => DAY / 24,
        "day" | "days" => DAY,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// Whether a ScheduleExpression has the form that RotateSecret takes: a rate
/// of 4 hours to 999 days, or a cron expression of six fields at minute 0 of
/// every year.
pub fn is_schedule(text: &str) -> bool {
    if let Some(length) = rate(text) {
        return (4 * DAY / 24..=999 * DAY).contains(&length);
    }
    let Some(inner) = text.strip_prefix("cron(").and_then(|t| t.strip_suffix(')')) else {
        return false;
    };
    let fields: Vec<&str> = inner.split_whitespace().collect();
    let allowed = |field: &&str| {
        field
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ",-*?/#".contains(c))
    };
    fields.len() == 6 && fields[0] == "0" && fields[5] == "*" && fields.iter().all(allowed)
}

/// Saves what RotateSecret says; starts a rotation where `now` says so, and
/// gives its version.
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

/// Turns rotation off; the version that a rotation under way has made.
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
    tx.sql
        .prepare_cached("UPDATE secret SET rotation = ?2 WHERE id = ?1")?
        .execute((secret.id, text))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_by_form() {
        for good in [
            "rate(4 hours)",
            "rate(10 days)",
            "rate(1 day)",
            "rate(999 days)",
            "cron(0 16 1,15 * ? *)",
            "cron(0 8 ? * SAT#3 *)",
            "cron(0 /4 ? * * *)",
            "cron(0 10 L * ? *)",
        ] {
            assert!(is_schedule(good), "{good}");
        }
        for bad in [
            "",
            "rate(3 hours)",
            "rate(1000 days)",
            "rate(5 minutes)",
            "rate(-4 days)",
            "every 3 days",
            "cron(5 16 1 * ? *)",
            "cron(0 16 1 * ?)",
            "cron(0 16 1 * ? 2030)",
            "cron(0 16 1; * ? *)",
        ] {
            assert!(!is_schedule(bad), "{bad}");
        }
    }

    #[test]
    fn the_next_rotation_is_due_at_the_end_of_its_day() {
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
        assert_eq!(
            rules(None, Some("rate(10 days)")).next(since),
            Some(21 * DAY - 1000)
        );
        let hours = rules(None, Some("rate(4 hours)")).next(since);
        assert_eq!(hours, Some(10 * DAY + 5 * DAY / 24 - 1000));
        let off = Rotation {
            enabled: false,
            ..rules(Some(30), None)
        };
        assert_eq!(off.next(since), None);
    }
}
