//! Durations as people write them: `"30s"`, `"5m"`, `"1h30m"`, `"7 days"`.
//!
//! It is written here because `humantime` also reads months and years, which have no fixed
//! length.

use std::time::Duration;

const UNITS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads a sequence of whole numbers with units.
///
/// # Errors
/// A sentence that says what is wrong and how to write it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write it like \"30s\", \"5m\" or \"1h\"");
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.len()
            - tail
                .trim_start_matches(|c: char| c.is_ascii_lowercase())
                .len();
        let (name, tail) = tail.split_at(letters);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let part = unit(name)
            .ok_or_else(wrong)?
            .checked_mul(number)
            .ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// The number of milliseconds in a unit.
fn unit(name: &str) -> Option<u64> {
    let short = match name {
        "millisecond" | "milliseconds" => "ms",
        "sec" | "second" | "seconds" => "s",
        "min" | "minute" | "minutes" => "m",
        "hour" | "hours" => "h",
        "day" | "days" => "d",
        short => short,
    };
    UNITS.iter().find(|(n, _)| *n == short).map(|(_, ms)| *ms)
}

/// The shortest form that [`parse`] reads back as the same number of milliseconds.
pub fn format(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (name, size) = UNITS
        .iter()
        .rev()
        .find(|(_, size)| ms >= *size && ms.is_multiple_of(*size))
        .unwrap_or(&("s", 1_000));
    format!("{}{name}", ms / size)
}

/// A span of time as people read it: its two largest units, as in `1 m 22 s`.
pub fn words(span: Duration) -> String {
    const SIZES: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let seconds = span.as_secs();
    if seconds == 0 {
        return format!("{} ms", span.as_millis());
    }
    let at = SIZES.iter().position(|(_, size)| seconds >= *size);
    let (name, size) = SIZES[at.unwrap_or(SIZES.len() - 1)];
    let rest = seconds % size;
    match at.and_then(|at| SIZES.get(at + 1)) {
        Some((smaller, unit)) if rest >= *unit => {
            format!("{} {name} {} {smaller}", seconds / size, rest / unit)
        }
        _ => format!("{} {name}", seconds / size),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write() {
        for (text, ms) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("100ms", 100),
            ("7 days", 604_800_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "5x",
            "-5s",
            "1.5s",
            "5S",
            "99999999999999999999d",
            "5s,",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_shortest_form() {
        for (ms, text) in [
            (0, "0s"),
            (90_000, "90s"),
            (1_500, "1500ms"),
            (86_400_000, "1d"),
        ] {
            assert_eq!(format(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn a_span_in_words() {
        for (ms, text) in [
            (0, "0 ms"),
            (350, "350 ms"),
            (9_900, "9 s"),
            (60_000, "1 m"),
            (82_000, "1 m 22 s"),
            (3_600_000, "1 h"),
            (3_659_000, "1 h"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(words(Duration::from_millis(ms)), text);
        }
    }

    proptest! {
        #[test]
        fn they_round_trip(ms in any::<u64>()) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
