//! An oracle for schedule expressions: it checks for every hour of every day, on a
//! calendar computed from day numbers, whether that hour satisfies the text. It is
//! slow, and shares no code with what it checks.

struct Date {
    day: i64,
    month: i64,
    weekday: i64,
    length_of_month: i64,
}

fn is_leap(year: i64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn length(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Date {
    /// The date that is this many days after 1970 began.
    fn new(days: i64) -> Self {
        let (mut year, mut rest) = (1970, days);
        while rest >= if is_leap(year) { 366 } else { 365 } {
            rest -= if is_leap(year) { 366 } else { 365 };
            year += 1;
        }
        let mut month = 1;
        while rest >= length(year, month) {
            rest -= length(year, month);
            month += 1;
        }
        Self {
            day: rest + 1,
            month,
            // 1970 began on a Thursday, the fifth day from Sunday.
            weekday: (days + 4).rem_euclid(7) + 1,
            length_of_month: length(year, month),
        }
    }
}

fn value(text: &str, words: &str) -> i64 {
    text.parse().unwrap_or_else(|_| {
        let at = words.find(&text.to_uppercase()).expect("a word");
        at as i64 / 4 + 1
    })
}

/// Walks from the item's first value to its last, around the end if need be.
fn includes(item: &str, wanted: i64, least: i64, most: i64, words: &str) -> bool {
    let (range, step) = match item.split_once('/') {
        Some((range, step)) => (range, step.parse().expect("a step")),
        None => (item, 1),
    };
    let (mut at, end) = match range {
        "" | "*" | "?" => (least, most),
        range => match range.split_once('-') {
            Some((a, b)) => (value(a, words), value(b, words)),
            None if item.contains('/') => (value(range, words), most),
            None => (value(range, words), value(range, words)),
        },
    };
    let mut walked = 0;
    loop {
        if at == wanted && walked % step == 0 {
            return true;
        }
        if at == end {
            return false;
        }
        at = if at == most { least } else { at + 1 };
        walked += 1;
    }
}

const MONTHS: &str = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC";
const WEEKDAYS: &str = "SUN MON TUE WED THU FRI SAT";

fn day_of_month(item: &str, m: &Date) -> bool {
    match item {
        "L" => m.day == m.length_of_month,
        item => includes(item, m.day, 1, 31, ""),
    }
}

fn day_of_week(item: &str, m: &Date) -> bool {
    if let Some((day, nth)) = item.split_once('#') {
        let nth: i64 = nth.parse().expect("a number");
        let from = 7 * (nth - 1);
        return m.weekday == value(day, WEEKDAYS) && m.day > from && m.day <= from + 7;
    }
    match item.strip_suffix('L') {
        Some("") => m.weekday == 7,
        Some(day) => m.weekday == value(day, WEEKDAYS) && m.day + 7 > m.length_of_month,
        None => includes(item, m.weekday, 1, 7, WEEKDAYS),
    }
}

/// The hours since 1970, among those of `range`, at which a window of `cron(…)`
/// opens.
pub fn openings(expression: &str, range: std::ops::Range<i64>) -> impl Iterator<Item = i64> {
    let expression = expression.to_uppercase();
    let inner = &expression["CRON(".len()..expression.len() - 1];
    let fields: Vec<String> = inner.split(' ').map(str::to_owned).collect();
    let days = range.start.div_euclid(24)..=range.end.div_euclid(24);
    days.flat_map(move |days| {
        let date = Date::new(days);
        let any = |field: usize, test: &dyn Fn(&str) -> bool| fields[field].split(',').any(test);
        let free = |field: usize| matches!(&*fields[field], "?" | "*");
        let on_this_day = any(3, &|i| includes(i, date.month, 1, 12, MONTHS))
            && (free(2) || any(2, &|i| day_of_month(i, &date)))
            && (free(4) || any(4, &|i| day_of_week(i, &date)));
        let hours: Vec<i64> = (0..24)
            .filter(|h| on_this_day && any(1, &|i| includes(i, *h, 0, 23, "")))
            .map(|h| days * 24 + h)
            .collect();
        hours
    })
    .filter(move |h| range.contains(h))
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// `30 days`, `12h`, `4 hours`: in seconds, and whether it is in days.
fn span(text: &str) -> (i64, bool) {
    let digits = text.find(|c: char| !c.is_ascii_digit()).expect("a unit");
    let number: i64 = text[..digits].parse().expect("a number");
    let unit = match text[digits..].trim() {
        "s" | "seconds" => 1,
        "m" | "minutes" => 60,
        "h" | "hour" | "hours" => HOUR,
        "d" | "day" | "days" => DAY,
        other => panic!("{other}"),
    };
    (number * unit, unit == DAY)
}

/// Three windows of a line of the table, in seconds since 1970: where they open
/// and close.
pub fn windows(text: &str, window: &str, last: i64) -> Vec<(i64, i64)> {
    let (opens, by_default): (Vec<i64>, Box<dyn Fn(i64) -> i64>) =
        if let Some(every) = text.strip_prefix("every ") {
            let (length, _) = span(every);
            let opens = (1..=3).map(|n| last + n * length).collect();
            (opens, Box::new(move |_| HOUR.min(length / 10)))
        } else if let Some(rate) = text.strip_prefix("rate(") {
            let (length, in_days) = span(rate.trim_end_matches(')'));
            let first = last - last % if in_days { DAY } else { HOUR };
            let opens = (1..=3).map(|n| first + n * length).collect();
            (opens, Box::new(move |_| if in_days { DAY } else { HOUR }))
        } else {
            let from = last / HOUR + 1;
            let hours = openings(text, from..from + 24 * 366 * 100);
            let opens: Vec<i64> = hours.take(3).map(|h| h * HOUR).collect();
            let day = opens[0] / HOUR / 24 * 24;
            let several = openings(text, day..day + 24).count() > 1;
            let rest = move |open: i64| if several { HOUR } else { DAY - open % DAY };
            (opens, Box::new(rest))
        };
    let length = |open| match window {
        "-" => by_default(open),
        window => span(window).0,
    };
    opens
        .iter()
        .map(|open| (*open, open + length(*open)))
        .collect()
}

#[test]
fn the_calendar_of_the_oracle() {
    // 2024-02-29, a Thursday; 2000-03-01, a Wednesday.
    for (days, expected) in [(19_782, (2, 29, 5, 29)), (11_017, (3, 1, 4, 31))] {
        let d = Date::new(days);
        assert_eq!((d.month, d.day, d.weekday, d.length_of_month), expected);
    }
}
