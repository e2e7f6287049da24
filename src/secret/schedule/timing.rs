//! When exactly a rotation starts within its window, and which one is due.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Freezes, Schedule, Window};

/// The moment of a window at which a secret is rotated. Every secret has its own,
/// so that many secrets with one schedule do not rotate at once. It is in the
/// first half, so that there is time for another attempt. It depends only on the
/// secret and the window, so that all replicas, and `pgvalet rotate --dry-run`,
/// find the same moment.
pub fn moment(window: &Window, secret: &str) -> DateTime<Utc> {
    let seed = format!("{secret} {}", window.opens.timestamp());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, seed.as_bytes());
    let fold = digest
        .as_ref()
        .iter()
        .take(4)
        .fold(0_u32, |n, b| n << 8 | u32::from(*b));
    let share = f64::from(fold) / f64::from(u32::MAX);
    let delay = (window.length() / 2).mul_f64(share);
    window.opens + TimeDelta::from_std(delay).unwrap_or_default()
}

/// When the next rotation starts: at the moment of the first window after the
/// last change. If windows have passed since (no proxy ran, or every attempt
/// failed), that moment is in the past, and one rotation makes up for all of
/// them at once.
pub fn due(schedule: &Schedule, last: DateTime<Utc>, secret: &str) -> Option<DateTime<Utc>> {
    Some(moment(&schedule.windows(last).next()?, secret))
}

/// The moments of the next rotations, seen from `now` and if each succeeds.
pub fn upcoming(
    schedule: &Schedule,
    freezes: &Freezes,
    last: DateTime<Utc>,
    now: DateTime<Utc>,
    secret: &str,
    count: usize,
) -> Vec<(DateTime<Utc>, Window)> {
    let mut last = last;
    let mut runs = Vec::with_capacity(count);
    while runs.len() < count {
        let Some(window) = schedule.windows(last).next() else {
            break;
        };
        let planned = freezes.postponed(moment(&window, secret), now, secret);
        let planned = planned.max(if runs.is_empty() { now } else { last });
        runs.push((planned, window));
        last = planned;
    }
    runs
}

/// How long to wait for a moment; zero if it is in the past.
pub fn until(at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (at - now).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn moments_are_in_the_first_half_and_differ_by_secret() {
        let window = Window {
            opens: time("2026-03-01T02:00:00Z"),
            closes: time("2026-03-01T04:00:00Z"),
        };
        let moments: std::collections::BTreeSet<DateTime<Utc>> =
            (0..50).map(|n| moment(&window, &format!("s{n}"))).collect();
        assert!(moments.len() > 45);
        let half = time("2026-03-01T03:00:00Z");
        assert!(moments.iter().all(|m| (window.opens..=half).contains(m)));
        assert_eq!(moment(&window, "s1"), moment(&window, "s1"));
    }

    #[test]
    fn what_was_missed_is_caught_up_once() {
        let schedule = Schedule::expression("cron(0 3 * * ? *)").expect("valid");
        let (last, now) = (time("2026-03-01T03:30:00Z"), time("2026-03-09T12:00:00Z"));
        let runs = upcoming(&schedule, &Freezes::default(), last, now, "s", 2);
        assert_eq!(runs[0].0, now, "at once");
        assert_eq!(
            runs[1].1.opens,
            time("2026-03-10T03:00:00Z"),
            "and then as ever"
        );
    }

    #[test]
    fn a_change_by_hand_counts() {
        let schedule = Schedule::every("30 days").expect("valid");
        let due = |last| due(&schedule, time(last), "s").expect("some time");
        assert!(due("2026-03-01T00:00:00Z") >= time("2026-03-31T00:00:00Z"));
        assert!(due("2026-03-20T00:00:00Z") >= time("2026-04-19T00:00:00Z"));
    }
}
