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
    /// From a moment to the first moment that is free again.
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

/// All such periods of one secret.
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
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn end(freeze: &str, at: &str) -> Option<DateTime<Utc>> {
        Freeze::parse(freeze).expect("a period").end(time(at))
    }

    #[test]
    fn a_period_of_days_has_both() {
        let freeze = "2026-12-20/2027-01-03";
        assert_eq!(end(freeze, "2026-12-19T23:59:59Z"), None);
        let free = Some(time("2027-01-04T00:00:00Z"));
        assert_eq!(end(freeze, "2026-12-20T00:00:00Z"), free);
        assert_eq!(end(freeze, "2027-01-03T23:59:59Z"), free);
        assert_eq!(end(freeze, "2027-01-04T00:00:00Z"), None);
    }

    #[test]
    fn a_period_of_moments_has_not_its_end() {
        let freeze = "2026-12-20T18:00/2026-12-21T06:00Z";
        assert_eq!(end(freeze, "2026-12-20T17:59:59Z"), None);
        let free = Some(time("2026-12-21T06:00:00Z"));
        assert_eq!(end(freeze, "2026-12-21T05:59:59Z"), free);
        assert_eq!(end(freeze, "2026-12-21T06:00:00Z"), None);
    }

    #[test]
    fn a_period_comes_every_year_also_over_its_end() {
        for year in [2026, 2027, 2028] {
            let at = |day: &str| format!("{year}-{day}T12:00:00Z");
            let next = Some(time(&format!("{}-01-04T00:00:00Z", year + 1)));
            assert_eq!(end("12-20/01-03", &at("12-31")), next);
            assert_eq!(end("12-20/01-03", &at("12-19")), None);
            assert_eq!(end("12-20/01-03", &at("01-04")), None);
        }
        let march = Some(time("2028-03-01T00:00:00Z"));
        assert_eq!(end("02-28/02-29", "2028-02-28T01:00:00Z"), march);
    }

    #[test]
    fn a_period_comes_every_week_also_over_its_end() {
        // A Friday.
        let monday = Some(time("2026-12-07T06:00:00Z"));
        for freeze in ["Fri 16:00/Mon 06:00", "friday 16:00/monday 06:00"] {
            assert_eq!(end(freeze, "2026-12-04T15:59:59Z"), None);
            assert_eq!(end(freeze, "2026-12-04T16:00:00Z"), monday);
            assert_eq!(end(freeze, "2026-12-07T05:59:59Z"), monday);
            assert_eq!(end(freeze, "2026-12-07T06:00:00Z"), None);
        }
        let noon = Some(time("2026-12-02T12:00:00Z"));
        assert_eq!(end("Wed 08:00/Wed 12:00", "2026-12-02T08:00:30Z"), noon);
        assert_eq!(end("Wed 08:00/Wed 12:00", "2026-12-02T07:59:30Z"), None);
    }

    #[test]
    fn what_is_no_period_is_said() {
        for wrong in [
            "",
            "/",
            "christmas",
            "2026-12-20",
            "2026-12-20/",
            "2027-01-03/2026-12-20",
            "13-01/13-02",
            "02-30/03-01",
            "Fri/Mon",
            "Fri 25:00/Mon 06:00",
            "Fri 16:00/Fri 16:00",
            "Fri 16:00/2026-12-20",
            "2026-12-20T18:00/2026-12-20T18:00",
        ] {
            let error = Freeze::parse(wrong).expect_err(wrong);
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }

    fn freezes(all: &[&str]) -> Result<Freezes, String> {
        Freezes::new(
            all.iter()
                .map(|one| Freeze::parse(one).expect("a period"))
                .collect(),
        )
    }

    #[test]
    fn what_leaves_no_moment_free_is_refused() {
        for all in [
            &["01-01/12-31"][..],
            &["Mon 00:00/Thu 00:00", "Thu 00:00/Mon 00:00"],
        ] {
            let error = freezes(all).expect_err("no moment");
            assert!(error.contains("no moment free"), "{error}");
        }
        assert!(freezes(&["01-02/12-31", "Mon 00:01/Mon 00:00"]).is_ok());
    }

    #[test]
    fn a_rotation_starts_soon_after_the_freeze_each_at_its_own_moment() {
        let freezes = freezes(&["2026-12-20/2027-01-03", "Sat 00:00/Mon 06:00"]).expect("free");
        // The period of days ends where a Monday begins, which is frozen until six.
        let free = time("2027-01-04T06:00:00Z");
        let (due, now) = (time("2026-12-24T03:00:00Z"), time("2026-12-22T00:00:00Z"));
        let mut starts = std::collections::BTreeSet::new();
        for n in 0..20 {
            let at = freezes.postponed(due, now, &format!("s{n}"));
            assert!(free <= at && at <= free + TimeDelta::minutes(30), "{at}");
            // Also when it looks again, in the freeze and behind it.
            for later in ["2027-01-02T00:00:00Z", "2027-01-04T06:00:01Z"] {
                assert_eq!(freezes.postponed(due, time(later), &format!("s{n}")), at);
            }
            starts.insert(at);
        }
        assert!(starts.len() > 15);
    }

    #[test]
    fn a_late_rotation_does_not_start_in_a_freeze_either() {
        let freezes = freezes(&["2026-12-20/2027-01-03"]).expect("free");
        let (due, now) = (time("2026-12-10T03:00:00Z"), time("2026-12-22T00:00:00Z"));
        assert!(freezes.postponed(due, now, "s") >= time("2027-01-04T00:00:00Z"));
        let before = time("2026-12-19T00:00:00Z");
        assert_eq!(freezes.postponed(due, before, "s"), due);
        assert_eq!(Freezes::default().postponed(due, now, "s"), due);
    }
}
