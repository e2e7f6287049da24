//! Periods in which no rotation starts by its schedule: holidays, weekends, a sale. All times
//! are UTC.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono::{Timelike, Weekday};

use super::Window;
use super::timing::moment;

/// How many periods may follow on each other without a gap before that is no freeze any more,
/// but a rotation that never comes.
const MOST: usize = 100;

/// The length of the span behind a freeze in which what it has held up starts.
const THAW: TimeDelta = TimeDelta::hours(1);

const MINUTES_A_WEEK: u32 = 7 * 24 * 60;

/// A period in which no rotation starts by its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freeze {
    /// The time from a moment to the first moment that is free again.
    Once(DateTime<Utc>, DateTime<Utc>),
    /// Days of every year (month, day), both included.
    Yearly((u32, u32), (u32, u32)),
    /// Minutes of every week, from Monday 00:00 on; the last one is free.
    Weekly(u32, u32),
}

impl Freeze {
    /// Reads `2026-12-20/2027-01-03` or `12-20/01-03` (days, both included),
    /// `2026-12-20T18:00/2027-01-03T06:00`, or `Fri 16:00/Mon 06:00`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no period; write it like \"2026-12-20/2027-01-03\", \"12-20/01-03\" (every year), \
                 \"2026-12-20T18:00/2026-12-21T06:00\" or \"Fri 16:00/Mon 06:00\""
            )
        };
        let (from, to) = text.split_once('/').ok_or_else(wrong)?;
        let (from, to) = (from.trim(), to.trim());
        let ends_first = || format!("{text:?} ends before it begins");
        if let (Some(from), Some(to)) = (minute_of_week(from), minute_of_week(to)) {
            return match from == to {
                true => Err(format!("{text:?} is no time at all")),
                false => Ok(Self::Weekly(from, to)),
            };
        }
        if let (Some(from), Some(to)) = (day_of_year(from), day_of_year(to)) {
            return Ok(Self::Yearly(from, to));
        }
        let (begins, _) = moments(from).ok_or_else(wrong)?;
        let (_, ends) = moments(to).ok_or_else(wrong)?;
        match begins < ends {
            true => Ok(Self::Once(begins, ends)),
            false => Err(ends_first()),
        }
    }

    /// The first moment after the period, if `at` lies in it.
    fn end(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match *self {
            Self::Once(begins, ends) => (begins <= at && at < ends).then_some(ends),
            Self::Yearly(from, to) => {
                let is_in = |date: NaiveDate| {
                    let day = (date.month(), date.day());
                    match from <= to {
                        true => from <= day && day <= to,
                        false => from <= day || day <= to,
                    }
                };
                let today = at.date_naive();
                if !is_in(today) {
                    return None;
                }
                let mut days = (1..=366).filter_map(|n| today.checked_add_days(Days::new(n)));
                // If no day is free, the last one is in the period as well, and so on.
                let last = today.checked_add_days(Days::new(366))?;
                let free = days.find(|date| !is_in(*date)).unwrap_or(last);
                Some(free.and_time(NaiveTime::MIN).and_utc())
            }
            Self::Weekly(from, to) => {
                let into = |time: u32| (time + MINUTES_A_WEEK - from) % MINUTES_A_WEEK;
                let now =
                    at.weekday().num_days_from_monday() * 24 * 60 + at.hour() * 60 + at.minute();
                if into(now) >= into(to) {
                    return None;
                }
                let minute = at.with_second(0)?.with_nanosecond(0)?;
                Some(minute + TimeDelta::minutes(i64::from(into(to) - into(now))))
            }
        }
    }
}

/// `Fri 16:00`, as minutes of the week.
fn minute_of_week(text: &str) -> Option<u32> {
    let (day, time) = text.split_once(' ')?;
    let day: Weekday = day.parse().ok()?;
    let time = NaiveTime::parse_from_str(time.trim(), "%H:%M").ok()?;
    Some(day.num_days_from_monday() * 24 * 60 + time.hour() * 60 + time.minute())
}

/// `12-20`. February has 29 days here.
fn day_of_year(text: &str) -> Option<(u32, u32)> {
    let date = NaiveDate::parse_from_str(&format!("2000-{text}"), "%Y-%m-%d").ok()?;
    Some((date.month(), date.day()))
}

/// The first moment of a day or minute, and the first moment behind it: a minute is its own end.
fn moments(text: &str) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc();
        return Some((midnight(date), midnight(date.succ_opt()?)));
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
    let mut read = forms
        .iter()
        .map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let at = read.find_map(|at| at)?.and_utc();
    Some((at, at))
}

/// All periods of one secret in which no rotation starts by its schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freezes(Vec<Freeze>);

impl Freezes {
    /// # Errors
    /// Together they leave no moment free.
    pub fn new(all: Vec<Freeze>) -> Result<Self, String> {
        let freezes = Self(all);
        // A time far from every date that somebody writes.
        let far = DateTime::UNIX_EPOCH + TimeDelta::days(365 * 500);
        let never = "these periods leave no moment free; make one of them shorter";
        freezes.free(far).map(|_| ()).ok_or(never)?;
        Ok(freezes)
    }

    /// The periods that are over for good.
    pub fn past(&self, now: DateTime<Utc>) -> Vec<String> {
        let over = self.0.iter().filter_map(|freeze| match freeze {
            Freeze::Once(begins, ends) if *ends <= now => Some((begins, ends)),
            _ => None,
        });
        let shown = |at: &DateTime<Utc>| at.format("%Y-%m-%dT%H:%M").to_string();
        over.map(|(begins, ends)| format!("{}/{}", shown(begins), shown(ends)))
            .collect()
    }

    /// The first moment from `at` on that no period has; `None` where there is none.
    fn free(&self, mut at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        for _ in 0..MOST {
            match self.0.iter().find_map(|freeze| freeze.end(at)) {
                Some(end) => at = end,
                None => return Some(at),
            }
        }
        None
    }

    /// When a rotation starts that is due at `due`. What a freeze holds up starts within half an
    /// hour after it, each secret at a moment of its own.
    pub fn postponed(&self, due: DateTime<Utc>, now: DateTime<Utc>, secret: &str) -> DateTime<Utc> {
        let mut at = due;
        // What is late starts now, if it may.
        for seen in [due, due.max(now)] {
            match self.free(seen) {
                Some(opens) if opens > seen && opens > at => {
                    let closes = opens + THAW;
                    let behind = moment(&Window { opens, closes }, secret);
                    at = self.free(behind).unwrap_or(behind);
                }
                _ => {}
            }
        }
        at
    }
}

#[cfg(test)]
mod tests;
