//! When a rule is in force.

use std::fmt;

use chrono::{DateTime, NaiveTime, SecondsFormat, Utc};
use toml::de::DeValue;

/// `valid = { from = …, until = … }`: two moments, or two times of every day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validity {
    /// From a moment on (inclusive), until another (exclusive).
    Between {
        from: Option<DateTime<Utc>>,
        until: Option<DateTime<Utc>>,
    },
    /// Every day in UTC; over midnight where `until` comes first.
    Daily { from: NaiveTime, until: NaiveTime },
}

impl Validity {
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        match self {
            Self::Between { from, until } => {
                from.is_none_or(|from| from <= now) && until.is_none_or(|until| now < until)
            }
            Self::Daily { from, until } => {
                let now = now.time();
                if from <= until {
                    *from <= now && now < *until
                } else {
                    *from <= now || now < *until
                }
            }
        }
    }

    /// Whether it will never hold again.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        matches!(self, Self::Between { until: Some(until), .. } if *until <= now)
    }

    pub(super) fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let DeValue::Table(table) = value else {
            return Err(format!("this is no period; {FORM}"));
        };
        let mut ends = [None, None];
        for (key, value) in table {
            let end = match key.get_ref().as_ref() {
                "from" => &mut ends[0],
                "until" => &mut ends[1],
                other => return Err(format!("unknown key {other:?}; {FORM}")),
            };
            *end = Some(match value.get_ref() {
                DeValue::String(text) => When::read(text)?,
                DeValue::Datetime(when) => When::read(&when.to_string())?,
                _ => return Err(format!("write the time in quotes; {FORM}")),
            });
        }
        match ends {
            [None, None] => Err(format!("there is neither from nor until; {FORM}")),
            [Some(When::Time(from)), Some(When::Time(until))] if from == until => {
                Err("from and until are the same time".to_owned())
            }
            [Some(When::Time(from)), Some(When::Time(until))] => Ok(Self::Daily { from, until }),
            [Some(When::Moment(from)), Some(When::Moment(until))] if until <= from => {
                Err("until is not after from".to_owned())
            }
            [from, until] => {
                let moment = |when: Option<When>| match when {
                    None => Ok(None),
                    Some(When::Moment(moment)) => Ok(Some(moment)),
                    Some(When::Time(_)) => Err(format!("a daily period needs both times; {FORM}")),
                };
                Ok(Self::Between {
                    from: moment(from)?,
                    until: moment(until)?,
                })
            }
        }
    }
}

const FORM: &str = "write { from = \"2026-01-01T00:00:00Z\", until = \"2026-02-01T00:00:00Z\" } or, for every day in UTC, { from = \"08:00\", until = \"18:00\" }";

enum When {
    Moment(DateTime<Utc>),
    Time(NaiveTime),
}

impl When {
    fn read(text: &str) -> Result<Self, String> {
        if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Moment(moment.to_utc()));
        }
        NaiveTime::parse_from_str(text, "%H:%M")
            .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S"))
            .map(Self::Time)
            .map_err(|_| format!("{text:?} is no time; {FORM}"))
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = |m: &DateTime<Utc>| m.to_rfc3339_opts(SecondsFormat::Secs, true);
        match self {
            Self::Between { from, until } => {
                if let Some(from) = from {
                    write!(f, "from {}", moment(from))?;
                }
                if let Some(until) = until {
                    let space = if from.is_some() { " " } else { "" };
                    write!(f, "{space}until {}", moment(until))?;
                }
                Ok(())
            }
            Self::Daily { from, until } => write!(f, "daily from {from} until {until} UTC"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(from: &str, until: &str) -> Validity {
        let time = |t| match When::read(t) {
            Ok(When::Time(t)) => t,
            _ => panic!("{t} is no time"),
        };
        Validity::Daily {
            from: time(from),
            until: time(until),
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_period_includes_its_beginning_and_not_its_end() {
        let period = Validity::Between {
            from: Some(at("2026-01-01T00:00:00Z")),
            until: Some(at("2026-02-01T00:00:00Z")),
        };
        assert!(!period.holds(at("2025-12-31T23:59:59Z")));
        assert!(period.holds(at("2026-01-01T00:00:00Z")));
        assert!(period.holds(at("2026-01-31T23:59:59Z")));
        assert!(!period.holds(at("2026-02-01T00:00:00Z")));
        assert!(period.is_over(at("2026-02-01T00:00:00Z")));
        assert!(!period.is_over(at("2025-01-01T00:00:00Z")));
    }

    #[test]
    fn a_daily_period_may_pass_midnight() {
        let day = daily("08:00", "18:00");
        let night = daily("22:00", "06:00");
        for (time, in_day, in_night) in [
            ("00:00:00", false, true),
            ("05:59:59", false, true),
            ("06:00:00", false, false),
            ("08:00:00", true, false),
            ("17:59:59", true, false),
            ("18:00:00", false, false),
            ("22:00:00", false, true),
        ] {
            let now = at(&format!("2026-03-01T{time}Z"));
            assert_eq!(day.holds(now), in_day, "{time}");
            assert_eq!(night.holds(now), in_night, "{time}");
        }
    }
}
