//! When a rule is in force.

use std::fmt;

use chrono::{DateTime, NaiveTime, SecondsFormat, Utc};

/// `valid = { from = …, until = … }`: two moments, or two times of every day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Validity {
    /// The rule holds from a moment on (inclusive), until another (exclusive).
    Between {
        from: Option<DateTime<Utc>>,
        until: Option<DateTime<Utc>>,
    },
    /// Every day in UTC; over midnight where `until` comes first.
    Daily { from: NaiveTime, until: NaiveTime },
}

impl Validity {
    /// Whether the period includes this moment.
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

    /// Whether the period is over for good.
    pub fn is_over(&self, now: DateTime<Utc>) -> bool {
        matches!(self, Self::Between { until: Some(until), .. } if *until <= now)
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
        let time = |t| NaiveTime::parse_from_str(t, "%H:%M").unwrap_or_else(|e| panic!("{t}: {e}"));
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
