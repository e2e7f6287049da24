use chrono::{DateTime, Datelike, Timelike, Utc};
use proptest::prelude::*;

use super::oracle;
use crate::secret::schedule::{Schedule, ScheduleError, Window};

const CASES: &str = include_str!("cases.txt");

fn cases() -> impl Iterator<Item = Vec<&'static str>> {
    let lines = CASES.lines().filter(|l| !l.starts_with('#'));
    lines.map(|line| line.split(" | ").collect())
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn schedule(text: &str, window: &str) -> Schedule {
    let schedule = match text.strip_prefix("every ") {
        Some(every) => Schedule::every(every),
        None => Schedule::expression(text),
    };
    let schedule = match window {
        "-" => schedule,
        window => schedule.and_then(|s| s.with_window(window)),
    };
    schedule.unwrap_or_else(|e| panic!("{text}, {window}: {e}"))
}

#[test]
fn the_table_of_cases() {
    let mut count = 0;
    for case in cases() {
        let [text, window, last, expected @ ..] = &case[..] else {
            panic!("{case:?}");
        };
        let expected: Vec<Window> = expected
            .chunks(2)
            .map(|w| Window {
                opens: time(w[0]),
                closes: time(w[1]),
            })
            .collect();
        assert_eq!(expected.len(), 3, "{text}");
        let schedule = schedule(text, window);
        let found: Vec<Window> = schedule.windows(time(last)).take(3).collect();
        assert_eq!(found, expected, "{text}, {window}, after {last}");
        count += 1;
    }
    assert!(count >= 80, "only {count} cases");
}

/// The table itself is right: of every line, where windows open and close.
#[test]
fn the_table_agrees_with_the_oracle() {
    for case in cases() {
        let times: Vec<i64> = case[3..].iter().map(|t| time(t).timestamp()).collect();
        let listed: Vec<(i64, i64)> = times.chunks(2).map(|w| (w[0], w[1])).collect();
        let found = oracle::windows(case[0], case[1], time(case[2]).timestamp());
        assert_eq!(found, listed, "{}, {}, after {}", case[0], case[1], case[2]);
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (text, part) in [
        ("", "no schedule expression"),
        ("30 days", "no schedule expression"),
        ("rate(30 days", "no schedule expression"),
        ("rate(3 hours)", "rate(4 hours)"),
        ("rate(1000 days)", "rate(999 days)"),
        ("rate(0 days)", "rate(4 hours)"),
        ("rate(-1 days)", "rate(4 hours)"),
        ("rate(+5 days)", "rate(4 hours)"),
        ("rate(5 weeks)", "rate(4 hours)"),
        ("rate(5)", "rate(4 hours)"),
        ("rate(1 2 days)", "rate(4 hours)"),
        ("cron(0 3 * * ?)", "has 5"),
        (
            "cron(30 3 * * ? *)",
            "minute of a cron expression must be 0",
        ),
        ("cron(* 3 * * ? *)", "minute of a cron expression must be 0"),
        (
            "cron(0 3 * * ? 2027)",
            "year of a cron expression must be *",
        ),
        ("cron(0 3 1 * MON *)", "? for the other"),
        (
            "cron(0 24 * * ? *)",
            "\"24\" is no hours; it goes from 0 to 23",
        ),
        ("cron(0 3 0 * ? *)", "\"0\" is no day of month"),
        ("cron(0 3 32 * ? *)", "from 1 to 31"),
        ("cron(0 3 15W * ? *)", "\"15W\" is no day of month"),
        ("cron(0 3 * 13 ? *)", "\"13\" is no month"),
        ("cron(0 3 * JANUARY ? *)", "\"JANUARY\" is no month"),
        ("cron(0 3 ? * 8 *)", "\"8\" is no day of week"),
        ("cron(0 3 ? * 0 *)", "\"0\" is no day of week"),
        ("cron(0 3 ? * MON#6 *)", "\"MON#6\" is no day of week"),
        ("cron(0 3 ? * MON#0 *)", "\"MON#0\" is no day of week"),
        ("cron(0 3 ? * #1 *)", "is no day of week"),
        ("cron(0 */0 * * ? *)", "\"*/0\" is no hours"),
        ("cron(0 1, * * ? *)", "is no hours"),
        ("cron(0 1-2-3 * * ? *)", "is no hours"),
        ("cron(0 ? * * ? *)", "is no hours"),
        ("cron(0 3 31 2,4,6 ? *)", "never comes"),
        ("cron(0 3 30 FEB ? *)", "never comes"),
    ] {
        let error = Schedule::expression(text).err();
        let said = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(said.contains(part), "{text}: {said}");
    }
    for text in ["", "0s", "1001 days", "thirty days", "30"] {
        assert!(Schedule::every(text).is_err(), "{text}");
    }
    assert!(Schedule::after_days(0).is_err() && Schedule::after_days(1001).is_err());
    assert_eq!(
        Schedule::after_days(30),
        Schedule::expression("rate(30 days)")
    );
}

#[test]
fn a_window_is_of_full_hours_and_does_not_reach_the_next() {
    for (text, window, fits) in [
        ("rate(4 hours)", "4h", true),
        ("rate(4 hours)", "5h", false),
        ("rate(1 day)", "24h", true),
        ("cron(0 /8 * * ? *)", "8h", true),
        ("cron(0 /8 * * ? *)", "9h", false),
        // 20:00, 00:00, 05:00 …: the shortest distance counts, over midnight.
        ("cron(0 0,5,20 * * ? *)", "4h", true),
        ("cron(0 0,5,20 * * ? *)", "5h", false),
        ("cron(0 22,2 1,L * ? *)", "4h", true),
        ("cron(0 22,2 1,L * ? *)", "5h", false),
    ] {
        let schedule = Schedule::expression(text).expect("valid");
        let result = schedule.with_window(window);
        assert_eq!(result.is_ok(), fits, "{text}, {window}");
        if let Err(e) = result {
            assert!(matches!(e, ScheduleError::Overlap(_)), "{e}");
        }
    }
    let daily = Schedule::expression("rate(1 day)").expect("valid");
    for window in ["", "0h", "25h", "90m", "3", "h"] {
        let refused = daily.clone().with_window(window);
        assert_eq!(refused, Err(ScheduleError::Window(window.to_owned())));
    }
    assert_eq!(daily.clone().with_window("180m"), daily.with_window("3h"));
}

prop_compose! {
    /// An item of a field with values from `first` to `last`.
    fn item(first: u32, last: u32)(
        a in first..=last, b in first..=last, step in 1..=last, form in 0..6,
    ) -> String {
        match form {
            0 | 1 => format!("{a}"),
            2 => format!("{a}-{b}"),
            3 => format!("{a}/{step}"),
            4 => format!("*/{step}"),
            _ => format!("{a}-{b}/{step}"),
        }
    }
}

fn field(first: u32, last: u32, special: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let item = prop_oneof![4 => item(first, last), 1 => special];
    let list = prop::collection::vec(item, 1..4).prop_map(|items| items.join(","));
    prop_oneof![3 => list, 1 => Just("*".to_owned())].boxed()
}

fn expression() -> impl Strategy<Value = String> {
    let weekday = prop::sample::select(vec!["SUN", "mon", "3", "Wed", "5", "FRI", "7"]);
    let of_week = prop_oneof![
        (weekday.clone(), 1..6).prop_map(|(d, n)| format!("{d}#{n}")),
        weekday.clone().prop_map(|d| format!("{d}L")),
        weekday.prop_map(str::to_owned),
        Just("L".to_owned()),
    ];
    let month = prop::sample::select(vec!["JAN", "feb", "Jun", "OCT-MAR", "*"]);
    let hours = field(0, 23, item(0, 23).boxed());
    let months = field(1, 12, month.prop_map(str::to_owned).boxed());
    let days = prop_oneof![
        field(1, 31, Just("L".to_owned()).boxed()).prop_map(|d| (d, "?".to_owned())),
        field(1, 7, of_week.boxed()).prop_map(|d| ("?".to_owned(), d)),
    ];
    (hours, days, months).prop_map(|(h, (dom, dow), m)| format!("cron(0 {h} {dom} {m} {dow} *)"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any expression, from any instant: what opens next is what the oracle
    /// finds, where that is not years away.
    #[test]
    fn expressions_agree_with_the_oracle(
        text in expression(), start in 0_i64..4_000_000_000, count in 1_usize..4,
    ) {
        let last = DateTime::from_timestamp(start, 0).expect("in range");
        let first = start / 3600 + 1;
        let horizon = first + 24 * 800;
        let expected: Vec<i64> = oracle::openings(&text, first..horizon).take(count).collect();
        let found: Vec<i64> = match Schedule::expression(&text) {
            Ok(schedule) => schedule
                .windows(last)
                .map(|w| w.opens.timestamp() / 3600)
                .take_while(|h| *h < horizon)
                .take(count)
                .collect(),
            Err(e) => {
                prop_assert_eq!(e, ScheduleError::Never, "{}", text);
                Vec::new()
            }
        };
        prop_assert_eq!(found, expected, "{} after {}", text, last);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*", inner in "[0-9A-Za-z*?/,#L -]{0,30}") {
        let _ = Schedule::expression(&text);
        let _ = Schedule::expression(&format!("cron({inner})"));
        let _ = Schedule::expression(&format!("cron(0 {inner} *)"));
        let _ = Schedule::expression(&format!("rate({inner})"));
        let _ = Schedule::every(&text).map(|s| s.with_window(&inner));
    }

    /// Windows open later and later, never reach each other, and those of
    /// expressions open at full hours.
    #[test]
    fn windows_are_in_order(text in expression(), start in 0_i64..4_000_000_000) {
        let Ok(schedule) = Schedule::expression(&text) else { return Ok(()) };
        let last = DateTime::from_timestamp(start, 0).expect("in range");
        let windows: Vec<Window> = schedule.windows(last).take(20).collect();
        prop_assert!(windows.first().is_none_or(|w| w.opens > last));
        for w in &windows {
            prop_assert!(w.closes > w.opens && w.opens.minute() == 0 && w.opens.second() == 0);
            prop_assert!(w.opens.year() >= last.year());
        }
        for pair in windows.windows(2) {
            prop_assert!(pair[0].closes <= pair[1].opens, "{}", text);
        }
    }
}
