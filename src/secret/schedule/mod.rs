//! When a secret is rotated: at an interval, or in the windows of a schedule
//! expression of Secrets Manager. All times are UTC.
//!
//! A rotation starts at some moment of a [`Window`]. A window may go past
//! midnight; it may not reach the next window. The rules for `rate` and `cron` are
//! those of "Schedule expressions in Secrets Manager rotation" and
//! RotationRulesType in the AWS documentation.

mod cron;
mod freeze;
#[cfg(test)]
mod tests;
pub mod timing;

use std::time::Duration;

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};

use crate::base::duration;
use cron::Cron;
pub use freeze::{Freeze, Freezes};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The longest interval: AutomaticallyAfterDays goes to 1000.
const LONGEST: Duration = Duration::from_secs(1000 * 24 * 3600);
const LONGEST_RATE: Duration = Duration::from_secs(999 * 24 * 3600);
/// The shortest interval: Secrets Manager rotates no more often.
const SHORTEST_RATE: Duration = Duration::from_secs(4 * 3600);
/// How many windows are checked for reaching the next one: more than a year of an
/// expression with one hour a day has.
const OPENINGS: usize = 400;

/// When a secret is rotated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    rule: Rule,
    /// The length of windows. `None`: it follows from the rule.
    window: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// A time after the last change, to the second.
    Every(Duration),
    /// Midnight of the n-th day after the last change.
    Days(u64),
    /// N hours after the full hour of the last change.
    Hours(u64),
    Cron(Cron),
}

/// A span in which a rotation may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub opens: DateTime<Utc>,
    /// The first moment after the window.
    pub closes: DateTime<Utc>,
}

impl Window {
    pub fn length(&self) -> Duration {
        (self.closes - self.opens).to_std().unwrap_or_default()
    }
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error(
        "{0:?} is no schedule expression; write it like \"rate(30 days)\" or \"cron(0 3 ? * SUN *)\""
    )]
    Expression(String),
    #[error("{0:?} is no rate; write \"rate(4 hours)\" to \"rate(999 days)\"")]
    Rate(String),
    #[error("{0}")]
    Every(String),
    #[error(
        "a cron expression has six fields (minute, hours, day of month, month, day of week, year), this one has {0}"
    )]
    Fields(usize),
    #[error("the minute of a cron expression must be 0, not {0:?}: windows open at full hours")]
    Minute(String),
    #[error("the year of a cron expression must be *, not {0:?}")]
    Year(String),
    #[error("give a day of month or a day of week, and ? for the other")]
    BothDays,
    #[error("{item:?} is no {name}; it goes from {first} to {last}")]
    Field {
        name: &'static str,
        item: String,
        first: u32,
        last: u32,
    },
    #[error("that day never comes")]
    Never,
    #[error("{0:?} is no window; write full hours, \"1h\" to \"24h\"")]
    Window(String),
    #[error("a window of {0} h reaches the next one; make it shorter")]
    Overlap(u64),
}

impl Schedule {
    /// `"30 days"`, `"12h"`: counted from the last change of the secret.
    pub fn every(text: &str) -> Result<Self, ScheduleError> {
        let every = duration::parse(text).map_err(|_| {
            ScheduleError::Every(format!(
                "{text:?} is no duration; write it like \"30 days\""
            ))
        })?;
        if every < Duration::from_secs(1) || every > LONGEST {
            return Err(ScheduleError::Every(format!(
                "{text:?} is out of range; write \"1s\" to \"1000 days\""
            )));
        }
        Ok(Rule::Every(every).into())
    }

    /// ScheduleExpression of Secrets Manager: `rate(…)` or `cron(…)`.
    pub fn expression(text: &str) -> Result<Self, ScheduleError> {
        let inside = |name| {
            let rest = text.trim().strip_prefix(name)?;
            rest.strip_prefix('(')?.strip_suffix(')')
        };
        if let Some(rate) = inside("rate") {
            return Ok(Self::rate(rate)?.into());
        }
        match inside("cron") {
            Some(cron) => Ok(Rule::Cron(Cron::parse(cron)?).into()),
            None => Err(ScheduleError::Expression(text.to_owned())),
        }
    }

    /// AutomaticallyAfterDays of Secrets Manager, 1 to 1000.
    pub fn after_days(days: u64) -> Result<Self, ScheduleError> {
        match days {
            1..=1000 => Ok(Rule::Days(days).into()),
            _ => Err(ScheduleError::Every(format!(
                "{days} days is out of range; write 1 to 1000"
            ))),
        }
    }

    fn rate(text: &str) -> Result<Rule, ScheduleError> {
        let wrong = || ScheduleError::Rate(format!("rate({text})"));
        let mut words = text.split_whitespace();
        let (Some(number), Some(unit), None) = (words.next(), words.next(), words.next()) else {
            return Err(wrong());
        };
        let digits = number.bytes().all(|b| b.is_ascii_digit()) && number.len() <= 6;
        let number = number.parse().ok().filter(|_| digits).ok_or_else(wrong)?;
        let (rule, length) = match unit {
            "hour" | "hours" => (Rule::Hours(number), HOUR.saturating_mul(number as u32)),
            "day" | "days" => (Rule::Days(number), DAY.saturating_mul(number as u32)),
            _ => return Err(wrong()),
        };
        match (SHORTEST_RATE..=LONGEST_RATE).contains(&length) {
            true => Ok(rule),
            false => Err(wrong()),
        }
    }

    /// Sets the length of windows: full hours, `"3h"`.
    pub fn with_window(self, text: &str) -> Result<Self, ScheduleError> {
        let wrong = || ScheduleError::Window(text.to_owned());
        let window = duration::parse(text).map_err(|_| wrong())?;
        let hours = window.as_secs() / 3600;
        if HOUR * (hours as u32) != window || !(1..=24).contains(&hours) {
            return Err(wrong());
        }
        let schedule = Self {
            window: Some(window),
            ..self
        };
        match schedule.windows_overlap() {
            true => Err(ScheduleError::Overlap(hours)),
            false => Ok(schedule),
        }
    }

    fn windows_overlap(&self) -> bool {
        let windows: Vec<Window> = self.windows(DateTime::UNIX_EPOCH).take(OPENINGS).collect();
        windows.windows(2).any(|w| w[0].closes > w[1].opens)
    }

    /// The windows after the last change of a secret, in order. The first ones may
    /// be in the past.
    pub fn windows(&self, last: DateTime<Utc>) -> impl Iterator<Item = Window> + '_ {
        std::iter::successors(self.opens_after(last), |at| self.opens_after(*at))
            .map_while(|opens| self.window(opens))
    }

    fn opens_after(&self, last: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.rule {
            Rule::Every(every) => last.checked_add_signed(TimeDelta::from_std(*every).ok()?),
            Rule::Days(days) => {
                let date = last.date_naive().checked_add_days(Days::new(*days))?;
                Some(date.and_time(NaiveTime::MIN).and_utc())
            }
            Rule::Hours(hours) => {
                let into = last.timestamp().rem_euclid(3600);
                let nanos = i64::from(last.timestamp_subsec_nanos());
                let full = last - TimeDelta::seconds(into) - TimeDelta::nanoseconds(nanos);
                full.checked_add_signed(TimeDelta::try_hours(i64::try_from(*hours).ok()?)?)
            }
            Rule::Cron(cron) => cron.next(last),
        }
    }

    fn window(&self, opens: DateTime<Utc>) -> Option<Window> {
        let length = match (self.window, &self.rule) {
            (Some(window), _) => window,
            // Short compared with the interval, so that rotations keep it.
            (None, Rule::Every(every)) => (*every / 10).min(HOUR),
            (None, Rule::Hours(_)) => HOUR,
            (None, Rule::Cron(cron)) if cron.is_hourly() => HOUR,
            // To the end of the UTC day.
            (None, Rule::Days(_) | Rule::Cron(_)) => {
                let midnight = opens.date_naive().checked_add_days(Days::new(1))?;
                let closes = midnight.and_time(NaiveTime::MIN).and_utc();
                return Some(Window { opens, closes });
            }
        };
        let closes = opens.checked_add_signed(TimeDelta::from_std(length).ok()?)?;
        Some(Window { opens, closes })
    }
}

impl From<Rule> for Schedule {
    fn from(rule: Rule) -> Self {
        Self { rule, window: None }
    }
}
