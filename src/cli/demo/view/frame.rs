//! One frame of the live view.

use std::time::Duration;

use super::Picture;
use super::chart::{chart, versions};
use super::paint::{Ink, Line, with_thousands};
use super::pools::pool;
use crate::cli::demo::journal::{Rotation, millis};
use crate::cli::demo::workload;

pub(super) const MARGIN: &str = "  ";
/// Wider than this is not easier to read.
const WIDEST: usize = 112;
/// On a terminal with fewer lines, the chart has a single one.
const LOW: usize = 28;

/// The lines of a frame: at most `height` of them, to be cut to `width`.
pub fn frame(picture: &Picture, width: usize, height: usize) -> Vec<Line> {
    let width = width.min(WIDEST);
    let mut lines = vec![Line::new(), title(picture, width), Line::new()];
    let rows = if height < LOW { 1 } else { 3 };
    lines.extend(throughput(picture, width, rows));
    lines.push(Line::new());
    lines.extend(numbers(picture));
    for database in picture.status.iter().flat_map(|s| &s.databases) {
        lines.push(Line::new());
        lines.extend(pool(picture, database, width));
    }
    lines.push(Line::new());
    let footer = [Line::new(), footer(picture, width)];
    let room = height.saturating_sub(lines.len() + footer.len());
    lines.extend(events(picture, room.min(8)));
    lines.extend(footer);
    lines.truncate(height);
    lines
}

fn title(picture: &Picture, width: usize) -> Line {
    let clients = format!(
        "{} clients, not one of them has a password",
        workload::COUNT
    );
    let (elapsed, length) = (picture.elapsed.min(picture.length), picture.length);
    let clock = format!("{} of {} s", elapsed.as_secs(), length.as_secs());
    Line::new()
        .add(Ink::Strong, format!("{MARGIN}pgvalet demo"))
        .add(Ink::Faint, format!("   {clients}"))
        .to(width.saturating_sub(clock.len() + MARGIN.len()))
        .add(Ink::Plain, clock)
}

fn throughput(picture: &Picture, width: usize, rows: usize) -> Vec<Line> {
    let columns = width.saturating_sub(2 * MARGIN.len());
    let rate = with_thousands(picture.rate_now().round() as u64);
    let total = with_thousands(picture.totals.transactions);
    let head = Line::new()
        .add(Ink::Strong, format!("{MARGIN}{rate}"))
        .add(Ink::Plain, " transactions a second")
        .add(Ink::Faint, format!("   {total} in total"));
    let mut lines = vec![head];
    let indented = chart(picture, columns, rows).into_iter();
    lines.extend(indented.chain([versions(picture, columns)]).map(indent));
    lines
}

fn indent(line: Line) -> Line {
    Line::new().add(Ink::Plain, MARGIN).join(line)
}

fn numbers(picture: &Picture) -> Vec<Line> {
    let totals = picture.totals;
    let errors = match totals.errors {
        0 => Ink::Good,
        _ => Ink::Bad,
    };
    let first_error = picture.first_error.as_ref();
    let first_error = first_error.map_or(String::new(), |e| format!("   the first at {e}"));
    let adopted = picture.entries.adoptions().count();
    let last = picture
        .entries
        .rotations
        .iter()
        .rev()
        .find_map(|r: &Rotation| {
            let took = millis(r.adoption()?);
            Some(format!(
                "   last one: {}; adopted in {took}",
                r.order.words()
            ))
        });
    let number = |n: u64| format!("{:>7}", with_thousands(n));
    let row = |name: &str| Line::new().add(Ink::Faint, format!("{MARGIN}{name:<12}"));
    vec![
        row("errors")
            .add(errors, number(totals.errors))
            .add(Ink::Bad, first_error),
        row("connections")
            .add(Ink::Plain, number(totals.connections))
            .add(Ink::Faint, "   opened by clients"),
        row("rotations")
            .add(Ink::Plain, number(adopted as u64))
            .add(Ink::Faint, last.unwrap_or_default()),
    ]
}

/// The latest events, the last one at the bottom, in a place that does not move.
fn events(picture: &Picture, room: usize) -> Vec<Line> {
    let events = &picture.entries.events;
    let mut lines: Vec<Line> = events
        .iter()
        .skip(events.len().saturating_sub(room))
        .map(|(at, what)| event(*at, what))
        .collect();
    lines.resize(room, Line::new());
    lines
}

fn event(at: Duration, what: &str) -> Line {
    Line::new()
        .add(
            Ink::Faint,
            format!("{MARGIN}{:>5.1} s   ", at.as_secs_f64()),
        )
        .add(Ink::Plain, what)
}

fn footer(picture: &Picture, width: usize) -> Line {
    let psql = format!("psql -h 127.0.0.1 -p {} orders", picture.port);
    let page = format!("http://127.0.0.1:{}", picture.admin_port);
    Line::new()
        .add(Ink::Faint, format!("{MARGIN}join in  "))
        .add(Ink::Plain, psql)
        .add(Ink::Faint, "   status  ")
        .add(Ink::Plain, page)
        .add_if_it_fits(width, Ink::Faint, "   Ctrl-C ends it")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::demo::journal::{Entries, Order};
    use crate::cli::demo::tally::Totals;
    use crate::cli::demo::view::Mark;

    fn generation_status(version: &str, holder: Option<&str>) -> serde_json::Value {
        let holders: Vec<_> = holder
            .iter()
            .map(|client| {
                serde_json::json!({
                    "session": "1", "client": client, "source": "", "since": "",
                    "reason": "in a session",
                })
            })
            .collect();
        serde_json::json!({
            "number": 1, "version": version, "stages": [], "user": "shop_app", "adopted_at": "",
            "draining_since": holder.map(|_| "then"), "active": 3, "idle": 2, "holders": holders,
        })
    }

    fn database(name: &str, generations: &[serde_json::Value]) -> serde_json::Value {
        serde_json::json!({
            "name": name, "secret": "demo/shop", "pool_mode": "session", "pool_size": 10,
            "clients": 4, "waiting": 0, "servers": {"active": 3, "idle": 2, "opening": 0},
            "generations": generations,
        })
    }

    fn picture() -> Picture {
        let second = Duration::from_secs;
        let mut entries = Entries {
            versions: vec!["aaaaaaaa-1".to_owned(), "bbbbbbbb-2".to_owned()],
            ..Entries::default()
        };
        entries.rotations.push(Rotation {
            order: Order::LabelFirst,
            from: "aaaaaaaa-1".to_owned(),
            in_place: Some(second(4)),
            adopted: Some(second(5)),
            drained: None,
            over: true,
        });
        entries.say(second(5), "v2 adopted 1.0 s after both".to_owned());
        let new = generation_status("bbbbbbbb-2", None);
        let old = generation_status("aaaaaaaa-1", Some("reporting"));
        let status = serde_json::json!({
            "version": "", "pid": 1, "started_at": "", "ready": true, "secrets": [],
            "databases": [
                database("orders", std::slice::from_ref(&new)),
                database("reports", &[new, old]),
            ],
        });
        Picture {
            elapsed: second(10),
            length: second(20),
            totals: Totals {
                transactions: 10_000,
                connections: 1_234,
                transfers: 0,
                errors: 0,
            },
            first_error: None,
            history: (0..=10)
                .map(|n| Mark {
                    at: second(n),
                    transactions: n * 1000,
                })
                .collect(),
            status: Some(serde_json::from_value(status).unwrap()),
            entries,
            port: 6432,
            admin_port: 6433,
        }
    }

    fn text(picture: &Picture, width: usize, height: usize) -> Vec<String> {
        let lines = frame(picture, width, height);
        lines.iter().map(|l| l.render(width, false)).collect()
    }

    #[test]
    fn it_shows_what_counts() {
        let shown = text(&picture(), 110, 35).join("\n");
        for part in [
            "1,000 transactions a second",
            "10,000 in total",
            "10 of 20 s",
            "last one: label first; adopted in 1.0 s",
            "● v2  bbbbbbbb  in force   ■■■□□",
            "● v1  aaaaaaaa  draining",
            "held by reporting (in a session)",
            "psql -h 127.0.0.1 -p 6432 orders",
        ] {
            assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
        }
    }

    /// What does not fit into 80 columns is left out, and not cut in the middle of a word.
    #[test]
    fn it_can_be_read_in_80_columns() {
        let lines = frame(&picture(), 79, 35);
        let wide: Vec<String> = lines
            .iter()
            .filter(|line| line.width() > 79)
            .map(|line| line.render(200, false))
            .collect();
        assert_eq!(wide, Vec::<String>::new());
        let shown = text(&picture(), 79, 35).join("\n");
        assert!(shown.contains("idle   held by reporting\n"), "{shown}");
    }

    #[test]
    fn half_of_the_time_is_half_of_the_chart() {
        let shown = text(&picture(), 104, 20);
        let chart = shown.iter().find(|l| l.contains('█')).unwrap();
        assert_eq!(chart.matches('█').count(), 50);
        assert_eq!(chart.matches('·').count(), 50);
    }

    #[test]
    fn errors_show_with_the_first_of_them() {
        let mut picture = picture();
        picture.totals.errors = 3;
        picture.first_error = Some("1.2 s  balance: no".to_owned());
        let shown = text(&picture, 110, 35).join("\n");
        assert!(
            shown.contains("3   the first at 1.2 s  balance: no"),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn it_fits_any_terminal(width in 0usize..200, height in 0usize..60) {
            let lines = text(&picture(), width, height);
            prop_assert!(lines.len() <= height);
            prop_assert!(lines.iter().all(|l| l.chars().count() <= width));
        }
    }
}
