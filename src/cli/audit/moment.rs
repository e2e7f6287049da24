//! Times as people write them.

use chrono::{DateTime, NaiveDate, Utc};

use crate::base::duration;

/// A point in time as people write it.
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    duration::parse(text)
        .ok()
        .and_then(|ago| chrono::TimeDelta::from_std(ago).ok())
        .and_then(|ago| Utc::now().checked_sub_signed(ago))
        .ok_or_else(|| "write 2026-01-31, 2026-01-31T12:00:00Z, or 30m for half an hour ago".into())
}
