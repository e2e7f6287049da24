//! The cron expressions of Secrets Manager: `cron(0 HOURS DAY-OF-MONTH MONTH
//! DAY-OF-WEEK *)` in UTC. The minute is 0 and the year `*`.
//!
//! The rules are those of "Schedule expressions in Secrets Manager rotation" in
//! the AWS documentation; cron crates have others. One of the two day fields is
//! `?`, which says nothing. The examples of AWS write `*` there as well, so `*` is
//! accepted, and both fields may say nothing.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeZone, Timelike, Utc};

use super::ScheduleError;

/// How far the next window is searched for. A fifth Sunday in February comes
/// every 28 years, and 40 years apart around 2100.
const HORIZON_YEARS: i32 = 41;

/// The hours and days at which a rotation window opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cron {
    /// Bit n: hour n.
    hours: u32,
    /// Bit n: month n, from 1.
    months: u32,
    days: Day,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Day {
    OfMonth {
        /// Bit n: day n, from 1.
        days: u32,
        /// `L`: the last day, whichever that is.
        last: bool,
    },
    OfWeek {
        /// Bit n: weekday n, from 1 = Sunday.
        days: u32,
        /// `nL`: the last such weekday of the month.
        last: u32,
        /// `n#k`: the k-th such weekday of the month, by k from 1 to 5.
        nth: [u32; 5],
    },
}

/// The name of a field and the values it may have.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    /// Names of the values, the first of which is that of `first`.
    words: &'static [&'static str],
}

const HOUR: Field = Field {
    name: "hours",
    first: 0,
    last: 23,
    words: &[],
};
const DAY_OF_MONTH: Field = Field {
    name: "day of month",
    first: 1,
    last: 31,
    words: &[],
};
const MONTH: Field = Field {
    name: "month",
    first: 1,
    last: 12,
    words: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
};
const DAY_OF_WEEK: Field = Field {
    name: "day of week",
    first: 1,
    last: 7,
    words: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

impl Cron {
    /// Parses the text between the parentheses.
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hours, of_month, month, of_week, year] = fields[..] else {
            return Err(ScheduleError::Fields(fields.len()));
        };
        if minute != "0" {
            return Err(ScheduleError::Minute(minute.to_owned()));
        }
        if year != "*" {
            return Err(ScheduleError::Year(year.to_owned()));
        }
        let days = match (of_month, of_week) {
            (_, "?" | "*") => day_of_month(of_month)?,
            ("?" | "*", _) => day_of_week(of_week)?,
            _ => return Err(ScheduleError::BothDays),
        };
        let cron = Self {
            hours: HOUR.set(hours)?,
            months: MONTH.set(month)?,
            days,
        };
        match cron.next(DateTime::UNIX_EPOCH) {
            Some(_) => Ok(cron),
            None => Err(ScheduleError::Never),
        }
    }

    /// The moment at which the next window after this one opens.
    pub(super) fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // The first candidate is the next full hour.
        let mut date = after.date_naive();
        let mut from = after.hour() + 1;
        let end = date.year().checked_add(HORIZON_YEARS)?;
        while date.year() <= end {
            if self.months & (1 << date.month()) == 0 {
                date = first_of_next_month(date)?;
            } else {
                if self.days.contains(date)
                    && let Some(hour) = (from..24).find(|h| self.hours & (1 << h) != 0)
                {
                    let time = NaiveTime::from_hms_opt(hour, 0, 0)?;
                    return Some(Utc.from_utc_datetime(&date.and_time(time)));
                }
                date = date.checked_add_days(Days::new(1))?;
            }
            from = 0;
        }
        None
    }

    /// Whether a window opens more than once on a day.
    pub(super) fn is_hourly(&self) -> bool {
        self.hours.count_ones() > 1
    }
}

impl Day {
    fn contains(&self, date: NaiveDate) -> bool {
        let day = date.day();
        let to_end = date.num_days_in_month() as u32 - day;
        match self {
            Self::OfMonth { days, last } => days & (1 << day) != 0 || (*last && to_end == 0),
            Self::OfWeek { days, last, nth } => {
                let weekday = 1 << (date.weekday().num_days_from_sunday() + 1);
                days & weekday != 0
                    || (last & weekday != 0 && to_end < 7)
                    || nth[(day - 1) as usize / 7] & weekday != 0
            }
        }
    }
}

fn first_of_next_month(date: NaiveDate) -> Option<NaiveDate> {
    let rest = u64::from(date.num_days_in_month()) - u64::from(date.day());
    date.checked_add_days(Days::new(rest + 1))
}

fn day_of_month(text: &str) -> Result<Day, ScheduleError> {
    let (mut days, mut last) = (0, false);
    for item in text.split(',') {
        match item {
            "?" => days |= DAY_OF_MONTH.item("*")?,
            "L" | "l" => last = true,
            item => days |= DAY_OF_MONTH.item(item)?,
        }
    }
    Ok(Day::OfMonth { days, last })
}

fn day_of_week(text: &str) -> Result<Day, ScheduleError> {
    let (mut days, mut last, mut nth) = (0, 0, [0; 5]);
    for item in text.split(',') {
        if let Some((day, k)) = item.split_once('#') {
            let k = k.parse::<usize>().ok().filter(|k| (1..=5).contains(k));
            let k = k.ok_or_else(|| DAY_OF_WEEK.wrong(item))?;
            nth[k - 1] |= 1 << DAY_OF_WEEK.value(day)?;
        } else if item.eq_ignore_ascii_case("L") {
            // `L` alone is the last day of the week.
            days |= 1 << DAY_OF_WEEK.last;
        } else if let Some(day) = item.strip_suffix(['L', 'l']) {
            last |= 1 << DAY_OF_WEEK.value(day)?;
        } else {
            days |= DAY_OF_WEEK.item(item)?;
        }
    }
    Ok(Day::OfWeek { days, last, nth })
}

impl Field {
    fn wrong(&self, item: &str) -> ScheduleError {
        ScheduleError::Field {
            name: self.name,
            item: item.to_owned(),
            first: self.first,
            last: self.last,
        }
    }

    fn set(&self, text: &str) -> Result<u32, ScheduleError> {
        text.split(',')
            .try_fold(0, |set, i| Ok(set | self.item(i)?))
    }

    /// Parses `*`, `n` or `n-m`, each with `/step` or without, and `/step` alone. A
    /// range may go around the end: `FRI-MON`, `22-2`.
    fn item(&self, item: &str) -> Result<u32, ScheduleError> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => {
                let step = self.number(step).filter(|s| *s >= 1);
                (range, Some(step.ok_or_else(|| self.wrong(item))?))
            }
            None => (item, None),
        };
        let (first, last) = match range.split_once('-') {
            Some((first, last)) => (self.value(first)?, self.value(last)?),
            None if range == "*" || (range.is_empty() && step.is_some()) => (self.first, self.last),
            // A step without an end of the range goes to the last value.
            None if step.is_some() => (self.value(range)?, self.last),
            None => (self.value(range)?, self.value(range)?),
        };
        let count = self.last - self.first + 1;
        let length = (last + count - first) % count;
        let set = (0..=length).step_by(step.unwrap_or(1) as usize);
        Ok(set.fold(0, |set, n| {
            set | 1 << (self.first + (first - self.first + n) % count)
        }))
    }

    fn number(&self, text: &str) -> Option<u32> {
        // `parse` alone would accept a sign.
        let digits = text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= 2;
        text.parse().ok().filter(|_| digits)
    }

    fn value(&self, text: &str) -> Result<u32, ScheduleError> {
        match self.words.iter().position(|w| w.eq_ignore_ascii_case(text)) {
            Some(at) => Ok(self.first + at as u32),
            None => self
                .number(text)
                .filter(|n| (self.first..=self.last).contains(n))
                .ok_or_else(|| self.wrong(text)),
        }
    }
}
